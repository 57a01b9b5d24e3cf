#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: XIDS_SRCDIR=SRC XIDS_BUILDDIR=BUILD XIDS_BENCH_WORK=FOLDER randomd_crowd.sh COUNT
#
# A machine of its own for the many guests of bench/randomd_crowd.c, which this runs in it.
set -u
# shellcheck source-path=SCRIPTDIR source=../tests/interop/sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_work=$(mktemp -d "$XIDS_BENCH_WORK/crowd.XXXXXX") || exit 1
export XIDS_SIM_DIR=$sim_work/machine
trap sim_end EXIT
trap 'exit 1' HUP INT TERM
"$sim" up --memory 512 >/dev/null || exit 1
"$sim" exec -- "$XIDS_BUILDDIR/xids-xenstored" --foreground >"$sim_work/store.log" 2>&1 </dev/null &
eventually "$sim" domain introduce 0 || { cat "$sim_work/store.log" >&2; exit 1; }
"$XIDS_BUILDDIR/bench/bench-randomd" crowd "$XIDS_SIM_DIR" "$1" "$sim_work/control" \
    "$sim" exec -- "$XIDS_BUILDDIR/xids-randomd" --foreground --control "$sim_work/control" </dev/null
