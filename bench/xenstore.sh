#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: XIDS_SRCDIR=SRC XIDS_BUILDDIR=BUILD xenstore.sh
#
# The xenstore suite: ours, C xenstored and oxenstored, each in domain 0 of a simulated machine of its own. The machines
# called full are for cases that leave many domains behind. A peer that cannot be had is left out.
set -u
# shellcheck source-path=SCRIPTDIR source=../tests/interop/sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian
work=$(mktemp -d "${TMPDIR:-/tmp}/xids-bench.XXXXXX")
roles=(ours ours-journal c oxenstored ours-full c-full)
# shellcheck disable=SC2317 # called by the trap
all_down() {
    local role
    for role in "${roles[@]}"; do
        XIDS_SIM_DIR=$work/$role/sim "$sim" down >/dev/null 2>&1
    done
    rm -rf "$work"
}
trap all_down EXIT
trap 'exit 1' HUP INT TERM
arguments=()
for role in "${roles[@]}"; do
    case $role in
    ours*) kind=xids-xenstored ;;
    c*) kind=xenstored ;;
    *) kind=$role ;;
    esac
    sim_work=$work/$role # where start_store puts the store's log and configuration
    mkdir "$sim_work"
    options=()
    [ "$role" = ours-journal ] && options=(--journal "$sim_work/journal")
    export XIDS_SIM_DIR=$sim_work/sim
    if "$sim" up >/dev/null && start_store "$kind" "${options[@]}" >&2; then
        arguments+=("$role=$XIDS_SIM_DIR")
    else
        echo "bench xenstore: no $kind" >&2
    fi
done
"$XIDS_BUILDDIR/bench/bench-xenstore" "${arguments[@]}"
