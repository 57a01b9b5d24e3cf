#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Guests pull without end while xids-randomd is restarted under them, as an upgrade does, and killed: each finds the
# next daemon, is never told a wrong grade, and no two of them ever get the same bytes. Speaks TAP.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

randomd=$XIDS_BUILDDIR/xids-randomd
puller=$XIDS_BUILDDIR/tests/interop/randomd_puller
guests=(1 2 3)

ask() {
    in_domain 0 "$randomd" --control "$sim_work/control" "$@"
}

start_randomd() {
    "$sim" exec -- "$randomd" --foreground --config "$sim_work/config" --control "$sim_work/control" \
        >>"$sim_work/randomd.log" 2>&1 </dev/null &
    echo $! >"$sim_work/randomd.pid"
    disown $!
    eventually ask --summary || { cat "$sim_work/randomd.log"; return 1; }
}

daemon() {
    cat "$sim_work/randomd.pid"
}

sessions() {
    grep -c '^epoch' "$sim_work/pull.$1"
}

more_sessions() {
    [ "$(sessions "$1")" -gt "$2" ] || { cat "$sim_work/pull.$1"; return 1; }
}

pull() {
    "$sim" exec --domain "$1" -- "$puller" "$sim_work/bytes.$1" >"$sim_work/pull.$1" 2>&1 </dev/null &
    echo $! >"$sim_work/puller.$1"
    disown $!
    eventually more_sessions "$1" 0
}

# follow_after SIGNAL: the daemon is ended and another started; all guests have a session of the other.
follow_after() {
    local before=() i pid
    for i in "${guests[@]}"; do
        before[i]=$(sessions "$i")
    done
    pid=$(daemon)
    kill "-$1" "$pid" && eventually gone "$pid" && start_randomd || return 1
    for i in "${guests[@]}"; do
        eventually more_sessions "$i" "${before[i]}" || return 1
    done
}

content() {
    ! grep -E 'REPEAT|GRADE' "$sim_work"/pull.*
}

ends() {
    local pid
    pid=$(cat "$sim_work/puller.$1")
    kill -TERM "$pid" && eventually gone "$pid" && contains "$sim_work/pull.$1" 'end after'
}

all_different() {
    cat "$sim_work"/bytes.* >"$sim_work/bytes"
    [ "$(stat -c %s "$sim_work/bytes")" -ge 8000 ] && prints "" sh -c "od -An -v -w8 -tx8 '$sim_work/bytes' | sort | uniq -d"
}

sim_begin
need_store xids-xenstored
printf '[randomd]\naudit = %s\n' "$sim_work/audit" >"$sim_work/config"
for i in "${guests[@]}"; do
    "$sim" domain create --domid "$i" --name "guest$i" >/dev/null
done
tap_ok "the daemon starts" start_randomd
for i in "${guests[@]}"; do
    tap_ok "guest $i pulls" pull "$i"
done
tap_ok "restarted in good order, all guests find the next daemon" follow_after TERM
tap_ok "killed, too" follow_after KILL
tap_ok "and once more" follow_after KILL
tap_ok "no guest broke the protocol" prints 0 sh -c "grep -c 'broke the protocol' '$sim_work/randomd.log'; :"
tap_ok "grades were right all the time, and nothing came twice" content
for i in "${guests[@]}"; do
    tap_ok "guest $i ends" ends "$i"
done
tap_ok "nor did two guests get the same bytes" all_different
tap_ok "the audit log goes over all of it" "$randomd" --audit-verify "$sim_work/audit"
pid=$(daemon)
kill -TERM "$pid"
tap_ok "the daemon ends" eventually gone "$pid"
sim_end
tap_done
