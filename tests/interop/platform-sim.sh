#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# What every platform promises, checked on platform/xen over the simulator's libraries. Speaks TAP.
set -u
build=$XIDS_BUILDDIR
XIDS_SIM_DIR=$(mktemp -d)
export XIDS_SIM_DIR
sim=$build/xids-sim
# shellcheck disable=SC2317 # called by the trap
leave() {
    "$sim" down >/dev/null 2>&1
    rm -rf "$XIDS_SIM_DIR"
}
trap leave EXIT
trap 'exit 130' HUP INT TERM

"$sim" up >&2 || { echo "Bail out! xids-sim up failed"; exit 1; }
"$sim" domain create --domid 1 >&2 || { echo "Bail out! xids-sim domain create failed"; exit 1; }
program=$build/tests/interop/platform_sim
"$sim" exec --domain 0 -- "$program" 0 1 "$sim" exec --domain 1 -- "$program" --peer 1
