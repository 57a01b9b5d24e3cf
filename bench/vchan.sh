#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: XIDS_SRCDIR=SRC XIDS_BUILDDIR=BUILD vchan.sh [PROGRAM [ARGUMENT...]]      (another than bench-vchan)
#
# The vchan suite: a machine of its own on the simulator, xids-xenstored in domain 0, and two domains for the ends of the
# channels.
set -u
# shellcheck source-path=SCRIPTDIR source=../tests/interop/sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
# In memory where that can be: on a disk the kernel would write the rings back meanwhile.
for folder in "${TMPDIR:-}" /dev/shm /tmp; do
    [ -z "$folder" ] || [ ! -w "$folder" ] || break
done
sim_work=$(mktemp -d "$folder/xids-bench.XXXXXX") || exit 1
export XIDS_SIM_DIR=$sim_work/machine
bench=
# shellcheck disable=SC2317 # called by the trap
all_down() {
    [ -z "$bench" ] || kill "$bench" 2>/dev/null
    sim_end
}
trap all_down EXIT
trap 'exit 1' HUP INT TERM
"$sim" up >/dev/null || exit 1
server=$("$sim" domain create --name server) && client=$("$sim" domain create --name client) || exit 1
"$sim" exec -- "$XIDS_BUILDDIR/xids-xenstored" --foreground >"$sim_work/store.log" 2>&1 </dev/null &
for domain in 0 "$server" "$client"; do
    eventually "$sim" domain introduce "$domain" || { cat "$sim_work/store.log" >&2; exit 1; }
done
# In the background: a shell hears of signals only while it waits.
"$XIDS_BUILDDIR/bench/${1:-bench-vchan}" "$sim" "$server" "$client" "${@:2}" </dev/null &
bench=$!
wait "$bench"
status=$?
bench=
exit "$status"
