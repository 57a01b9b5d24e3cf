#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# What xids-randomd gave out is nowhere in the memory that domains share: not while the session goes on, not when the guest
# has left and its page serves again, nor when the daemon was stopped or killed.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

randomd=$XIDS_BUILDDIR/xids-randomd
guest=$XIDS_BUILDDIR/tests/interop/randomd_secrets

start_randomd() {
    # Of a run that was killed: what is there after this is the new one's.
    in_domain 0 "$tools/xenstore-rm" /local/domain/0/backend/randomd >/dev/null 2>&1
    "$sim" exec -- "$randomd" --foreground --control "$sim_work/control" >>"$sim_work/randomd.log" 2>&1 </dev/null &
    echo $! >"$sim_work/randomd.pid"
    disown $!
    eventually offered || { cat "$sim_work/randomd.log"; return 1; }
}

offered() {
    in_domain 0 "$tools/xenstore-exists" /local/domain/0/backend/randomd/1/0/event-channel \
        /local/domain/1/device/randomd/0/backend
}

daemon() {
    cat "$sim_work/randomd.pid"
}

searched() {
    in_domain 1 "$guest" "$XIDS_SIM_DIR/ram" "$@"
}

# ended SIGNAL: the daemon ends in the middle of a session.
ended() {
    local pid guest_pid
    searched end >"$sim_work/guest.out" 2>&1 &
    guest_pid=$!
    eventually grep -q served "$sim_work/guest.out" || { cat "$sim_work/guest.out"; return 1; }
    pid=$(daemon)
    kill "-$1" "$pid"
    wait "$guest_pid" || { cat "$sim_work/guest.out"; return 1; }
    eventually gone "$pid"
}

sim_begin
need_store xids-xenstored
"$sim" domain create --name one >/dev/null
tap_ok "the daemon starts" start_randomd
tap_ok "nothing is left while a session goes on, nor when its page serves again" searched
tap_ok "nor of a guest that does not zero what it reads, when it has left" searched plain
tap_ok "nor twice" searched
tap_ok "nor when the daemon is killed" ended KILL
tap_ok "it starts again" start_randomd
tap_ok "nor when it is stopped" ended TERM
sim_end
tap_done
