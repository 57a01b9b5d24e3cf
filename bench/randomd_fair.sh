#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: XIDS_SRCDIR=SRC XIDS_BUILDDIR=BUILD randomd_fair.sh CASE GUESTS
#
# A machine of its own with so many guests, for a case of bench/randomd_fair.c, which prints its figures. The daemon has
# the settings that it has without a file.
set -u
# shellcheck source-path=SCRIPTDIR source=../tests/interop/sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
for folder in "${XIDS_BENCH_WORK:-}" "${TMPDIR:-}" /dev/shm /tmp; do
    [ -z "$folder" ] || [ ! -w "$folder" ] || break
done
sim_work=$(mktemp -d "$folder/fair.XXXXXX") || exit 1
export XIDS_SIM_DIR=$sim_work/machine
trap sim_end EXIT
trap 'exit 1' HUP INT TERM
"$sim" up >/dev/null || exit 1
"$sim" exec -- "$XIDS_BUILDDIR/xids-xenstored" --foreground >"$sim_work/store.log" 2>&1 </dev/null &
ids=()
for ((i = 0; i < $2; i++)); do
    ids+=("$("$sim" domain create --name "guest$i")") || exit 1
done
for domain in 0 "${ids[@]}"; do
    eventually "$sim" domain introduce "$domain" || { cat "$sim_work/store.log" >&2; exit 1; }
done
printf '[randomd]\n' >"$sim_work/randomd.conf"
"$sim" exec -- "$XIDS_BUILDDIR/xids-randomd" --foreground --config "$sim_work/randomd.conf" \
    --control "$sim_work/control" >"$sim_work/randomd.log" 2>&1 </dev/null &
randomd=$!
# shellcheck disable=SC2317 # called by eventually
serves() {
    in_domain 0 "$XIDS_BUILDDIR/xids-randomd" --control "$sim_work/control" --summary
}
eventually serves || { cat "$sim_work/randomd.log" >&2; exit 1; }
"$XIDS_BUILDDIR/bench/bench-randomd" fair-case "$1" "$sim" "$randomd" "${ids[@]}" </dev/null
status=$?
[ "$status" -eq 0 ] || cat "$sim_work/randomd.log" >&2
exit "$status"
