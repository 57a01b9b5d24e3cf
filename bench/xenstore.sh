#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: XIDS_SRCDIR=SRC XIDS_BUILDDIR=BUILD xenstore.sh
#
# The xenstore suite: ours, C xenstored and oxenstored, each in domain 0 of a simulated machine of its own, measured over
# their sockets. A peer that cannot be had is left out.
set -u
# shellcheck source-path=SCRIPTDIR source=../tests/interop/sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian
sim_work=$(mktemp -d "${TMPDIR:-/tmp}/xids-bench.XXXXXX")
kinds=(xids-xenstored xenstored oxenstored)
# shellcheck disable=SC2317 # called by the trap
all_down() {
    local kind
    for kind in "${kinds[@]}"; do
        XIDS_SIM_DIR=$sim_work/$kind "$sim" down >/dev/null 2>&1
    done
    rm -rf "$sim_work"
}
trap all_down EXIT
trap 'exit 1' HUP INT TERM
arguments=()
for kind in "${kinds[@]}"; do
    export XIDS_SIM_DIR=$sim_work/$kind
    if ! "$sim" up >/dev/null || ! start_store "$kind" >&2; then
        echo "bench xenstore: no $kind" >&2
        continue
    fi
    socket=$(find "$XIDS_SIM_DIR" -type s -path '*xenstored*' -name socket | head -n 1)
    [ -S "$socket" ] || { echo "bench xenstore: $kind has no socket" >&2; continue; }
    arguments+=("$kind=$socket")
done
"$XIDS_BUILDDIR/bench/bench-xenstore" "${arguments[@]}"
