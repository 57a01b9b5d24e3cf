#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Every case of the xenstore benchmark runs, with its peers; the figures of such a short run say nothing.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian
folder=$(mktemp -d "${TMPDIR:-/tmp}/xids-bench.XXXXXX")
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM
unset XIDS_BENCH_ONLY

# A row of the case against this peer (null: none) has a figure of ours.
row() {
    local peer=\"$2\"
    [ "$2" != null ] || peer=null
    tr -d '\n' <"$folder/xenstore.json" | tr '}' '\n' | grep -F "\"case\": \"$1\"" | grep -F "\"peer_name\": $peer" |
        grep -Eq '"ours": *[0-9.]+' || { cat "$folder/xenstore.json"; return 1; }
}

tap_ok "a quick run goes through" \
    env XIDS_BENCH_QUICK=1 XIDS_BENCH_DIR="$folder" bash "$XIDS_SRCDIR/bench/xenstore.sh"
while read -r name peers; do
    IFS=, read -ra list <<<"$peers"
    for peer in "${list[@]}"; do
        tap_ok "$name has a row for $peer" row "$name" "$peer"
    done
done <<'END'
read-pipelined C xenstored,oxenstored
write-pipelined C xenstored,oxenstored
read-sync C xenstored,oxenstored,echo server
write-sync C xenstored,oxenstored,echo server
read-64-clients C xenstored,oxenstored
vm-starts-32-parallel C xenstored,oxenstored
vm-starts-32-listing C xenstored,oxenstored
vm-starts-32-listing-worst C xenstored,oxenstored
child-20000 self,C xenstored,oxenstored
write-idle-domains-4000 self,C xenstored
write-watches-10000 self,C xenstored,oxenstored
vm-starts-300 C xenstored,oxenstored
vm-starts-300-refused C xenstored,oxenstored
domain-destroy-100k C xenstored,oxenstored
rm-20k-stall C xenstored,oxenstored
bytes-per-node C xenstored,oxenstored
flood-p99 self
live-update-100k null
END
tap_done
