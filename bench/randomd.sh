#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: XIDS_SRCDIR=SRC XIDS_BUILDDIR=BUILD randomd.sh
#
# The randomd suite: a simulated machine with xids-xenstored and xids-randomd in domain 0, and a few guests. Cases that
# need another machine, with more guests or other settings, make one in a folder of their own under XIDS_BENCH_WORK.
set -u
# shellcheck source-path=SCRIPTDIR source=../tests/interop/sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
guests=24
[ -z "${XIDS_BENCH_QUICK:-}" ] || guests=3
# In memory where that can be: on a disk the kernel would write the rings back meanwhile.
for folder in "${TMPDIR:-}" /dev/shm /tmp; do
    [ -z "$folder" ] || [ ! -w "$folder" ] || break
done
sim_work=$(mktemp -d "$folder/xids-bench.XXXXXX") || exit 1
export XIDS_BENCH_WORK=$sim_work XIDS_SIM_DIR=$sim_work/machine
control=$sim_work/control
bench=
# shellcheck disable=SC2317 # called by the trap
all_down() {
    if [ -n "$bench" ]; then
        kill "$bench" 2>/dev/null
        wait "$bench"
    fi
    sim_end
}
trap all_down EXIT
trap 'exit 1' HUP INT TERM
"$sim" up >/dev/null || exit 1
ids=()
for ((i = 0; i < guests; i++)); do
    ids+=("$("$sim" domain create --name "guest$i")") || exit 1
done
"$sim" exec -- "$XIDS_BUILDDIR/xids-xenstored" --foreground >"$sim_work/store.log" 2>&1 </dev/null &
for domain in 0 "${ids[@]}"; do
    eventually "$sim" domain introduce "$domain" || { cat "$sim_work/store.log" >&2; exit 1; }
done
# As fast as it can: what a guest's share does is other cases'.
printf '[randomd]\nrate = 4294967296\nburst = 4294967296\n' >"$sim_work/randomd.conf"
"$sim" exec -- "$XIDS_BUILDDIR/xids-randomd" --foreground --config "$sim_work/randomd.conf" --control "$control" \
    >"$sim_work/randomd.log" 2>&1 </dev/null &
# shellcheck disable=SC2317 # called by eventually
serves() {
    in_domain 0 "$XIDS_BUILDDIR/xids-randomd" --control "$control" --status
}
eventually serves || { cat "$sim_work/randomd.log" >&2; exit 1; }
# In the background: a shell hears of signals only while it waits.
"$XIDS_BUILDDIR/bench/bench-randomd" "$sim" "$!" "${ids[@]}" </dev/null &
bench=$!
wait "$bench"
status=$?
bench=
[ "$status" -eq 0 ] || cat "$sim_work/randomd.log" >&2
exit "$status"
