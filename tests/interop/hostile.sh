#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# xids-randomd among guests that mean it no good: the others are served, the daemon answers and stops when told, and what a
# guest can make it keep is bounded.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

randomd=$XIDS_BUILDDIR/xids-randomd
demo=$XIDS_BUILDDIR/xids-entropy-demo
hostile=$XIDS_BUILDDIR/tests/interop/hostile_guest

start_randomd() {
    "$sim" exec -- "$randomd" --foreground --control "$sim_work/control" >>"$sim_work/randomd.log" 2>&1 </dev/null &
    echo $! >"$sim_work/randomd.pid"
    disown $!
    eventually status || { cat "$sim_work/randomd.log"; return 1; }
}

daemon() {
    cat "$sim_work/randomd.pid"
}

status() {
    in_domain 0 "$randomd" --control "$sim_work/control" --status
}

attack() {
    local how=$1 domid=$2 seconds=$3
    "$sim" exec --domain "$domid" -- "$hostile" "$how" "$seconds" >"$sim_work/$how.$domid" 2>&1 </dev/null &
    echo $! >>"$sim_work/attackers"
    disown $!
    eventually grep -q ready "$sim_work/$how.$domid" || { cat "$sim_work/$how.$domid"; return 1; }
}

over() {
    local pid
    while read -r pid; do
        gone "$pid" || return 1
    done <"$sim_work/attackers"
}

seeded() {
    in_domain "$1" "$demo" --pull 65536 --timeout 20
}

resident() {
    awk '/^VmRSS/ {print $2}' "/proc/$(daemon)/status"
}

# Whatever another domain does, domain 1 gets its bytes, the daemon answers, and its log stays short.
besieged() {
    local how=$1 domid=$2 before after lines
    : >"$sim_work/attackers"
    rm -f "$sim_work/grown"
    before=$(resident)
    lines=$(wc -l <"$sim_work/randomd.log")
    attack "$how" "$domid" 3 && seeded 1 && status >/dev/null && seeded 1 && eventually over || return
    after=$(resident)
    cat "$sim_work/$how.$domid"
    echo $((after - before)) >"$sim_work/grown"
    [ $(($(wc -l <"$sim_work/randomd.log") - lines)) -le 60 ] || { echo "too many lines of log"; return 1; }
}

# And its memory small; the figure is besieged's.
grew_little() {
    local grown
    grown=$(cat "$sim_work/grown") || return
    [ "$grown" -le 1024 ] || { echo "grew by $grown kB"; return 1; }
}

cpu_ticks() {
    awk '{print $14 + $15}' "/proc/$(daemon)/stat"
}

store_is() {
    status | grep -q "\"store\":$1"
}

# A store that does not answer costs one time-out, not one for each call; and waiting for it costs nothing.
served_without_store() {
    local guest before
    "$sim" exec --domain 7 -- "$demo" --stay --pull 1000 >"$sim_work/stay" 2>&1 </dev/null &
    guest=$!
    disown "$guest"
    eventually grep -q 'grade HOST' "$sim_work/stay" || return
    kill -STOP "$store"
    kill -KILL "$guest"
    # Its channel is to be taken back now, and others again and again. Once the store is given up nothing waits for it.
    eventually store_is false
    timeout 10 "$sim" exec -- "$randomd" --control "$sim_work/control" --status >"$sim_work/status" || {
        kill -CONT "$store"
        echo "the daemon does not answer"
        return 1
    }
    before=$(cpu_ticks)
    # Not to wait for something: it is the time in which the daemon may not work much.
    sleep 3
    echo "ticks: $(($(cpu_ticks) - before))"
    [ $(($(cpu_ticks) - before)) -le 20 ] && grep -q '"store":false' "$sim_work/status"
    local status=$?
    kill -CONT "$store"
    [ "$status" -eq 0 ] && eventually store_is true && seeded 1 && seeded 7
}

# The event loop has its turn between events: the daemon hears the signal while guests storm.
stopped_in_a_storm() {
    local pid
    : >"$sim_work/attackers"
    pid=$(daemon)
    attack storm 2 6 && attack storm 6 6 && kill -TERM "$pid" && eventually gone "$pid" && ! over || return
    eventually over
}

sim_begin
need_store xids-xenstored
store=$!
for i in 1 2 3 4 5 6 7; do
    "$sim" domain create --name "g$i" >/dev/null
done
start_randomd || exit 1
seeded 1 >/dev/null
# Each has a domain of its own, for who has misbehaved waits for his next channel.
domid=2
for how in storm scribble churn hold greedy; do
    tap_ok "$how: the others are served, with few lines of log" besieged "$how" "$domid"
    # The address sanitizer keeps what is freed: the process's size then says nothing of the daemon.
    if grep -q __asan_init "/proc/$(daemon)/exe"; then
        tap_skip "$how: the daemon stays small" "the address sanitizer keeps freed memory"
    else
        tap_ok "$how: the daemon stays small" grew_little
    fi
    domid=$((domid + 1))
done
tap_ok "a store that hangs stops neither the service nor the daemon" served_without_store
tap_ok "a storm of events does not keep the daemon from stopping" stopped_in_a_storm
tap_done
