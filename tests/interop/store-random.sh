#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Random requests of domain 0 and of guests to xids-xenstored, compared with a tree so simple that it is right.
# Six seconds each; XIDS_SEED=N, as printed, repeats one world. Ten minutes each, in the build folder:
#   XIDS_RANDOM_SECONDS=600 make check TEST_SECONDS=1500 TESTS=tests/interop/store-random.sh
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian
sim_begin

random=$XIDS_BUILDDIR/tests/interop/store_random

in_guest() {
    printf "exec '%s' exec --domain %s -- '%s' --agent" "$sim" "$1" "$random"
}

set_up() {
    local domid
    for domid in 1 2 3; do
        "$sim" domain create --domid "$domid" >/dev/null || return 1
    done
}

compare() {
    local socket status
    socket=$(find "$XIDS_SIM_DIR" -type s -path '*xenstored*' -name socket | head -n 1)
    "$random" "${XIDS_RANDOM_SECONDS:-6}" "$socket" "$(in_guest 1)" "$(in_guest 2)" "$(in_guest 3)" | tee "$sim_work/random.log"
    status=${PIPESTATUS[0]}
    tail -n 60 "$sim_work/store.log"
    return "$status"
}

# Also while it is updated again and again, with all that is going on.
compare_updated() {
    # Not libtool's script, which is there before the program is installed.
    local program=$XIDS_BUILDDIR/.libs/xids-xenstored
    [ -x "$program" ] || program=$XIDS_BUILDDIR/xids-xenstored
    XIDS_RANDOM_LIVE_UPDATE=$program compare
}

need_store xids-xenstored
tap_ok "three guests are made" set_up
tap_ok "random requests have the answers and events of a simple tree" compare
grep '^# ' "$sim_work/random.log"
tap_ok "also over live updates" compare_updated
grep '^# ' "$sim_work/random.log"
tap_done
