#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Programs of the real libxenvchan and libxenstore in two simulated domains: data, and the death of either side.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
peer=$XIDS_BUILDDIR/tests/interop/libxenvchan_peer
sim_need_debian
sim_begin
need_store xenstored
"$sim" domain create --domid 1 >/dev/null
"$sim" domain create --domid 2 >/dev/null
before=$(usage)
path=/local/domain/1/data/vchan

# echoed WHAT RING COUNT: a server of that ring size in domain 1, a client in domain 2.
echoed() {
    local what=$1 ring=$2 count=$3 out=$sim_work/server.out
    in_domain 1 "$peer" echo 2 data/vchan/echo "$ring" >"$out" 2>&1 &
    local server=$!
    prints "echoed $count" in_domain 2 "$peer" "$what" 1 "$path/echo" "$count" || { cat "$out"; return 1; }
    wait "$server" && contains "$out" closed
}

# begin SERVER_DOMAIN: a pair that is connected and waits; sets $server and $client to the process ids of the programs.
begin() {
    rm -f "$sim_work/s.out" "$sim_work/c.out"
    "$sim" exec --domain 1 -- "$peer" serve-hold 2 data/vchan/hold 4096 >"$sim_work/s.out" 2>&1 </dev/null &
    server=$!
    "$sim" exec --domain 2 -- "$peer" hold 1 "$path/hold" 0 >"$sim_work/c.out" 2>&1 </dev/null &
    client=$!
    disown "$server" "$client"
    eventually grep -q connected "$sim_work/s.out" && eventually grep -q connected "$sim_work/c.out"
}

server_dies() {
    begin && kill -9 "$server" && eventually contains "$sim_work/c.out" closed
}

client_dies() {
    begin && kill -9 "$client" && eventually contains "$sim_work/s.out" closed
}

# A domain that vanishes sends nothing: its kernel is gone too. An event would have woken the server by the time that
# the call returns, and it goes to sleep again only after it has said what it saw.
domain_vanishes() {
    begin && "$sim" domain destroy 2 && eventually all_asleep "$server" &&
        ! contains "$sim_work/s.out" closed && kill -9 "$server"
}

many_pairs() {
    local i pids=() status=0
    for i in 1 2 3 4 5 6; do
        in_domain 1 "$peer" echo 2 "data/vchan/many$i" 8192 >/dev/null 2>&1 &
        pids+=($!)
    done
    for i in 1 2 3 4 5 6; do
        prints "echoed 200000" in_domain 2 "$peer" send 1 "$path/many$i" 200000 &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        wait "$i" || status=1
    done
    return "$status"
}

# Either end of a channel in full use is killed, at any moment: twenty times.
killed_in_the_middle() {
    local i server client victim
    for ((i = 0; i < 20; i++)); do
        "$sim" exec --domain 1 -- "$peer" echo 2 "data/vchan/kill$i" 4096 >/dev/null 2>&1 </dev/null &
        server=$!
        "$sim" exec --domain 2 -- "$peer" send 1 "$path/kill$i" 1000000000 >/dev/null 2>&1 </dev/null &
        client=$!
        eventually in_domain 0 "$tools/xenstore-exists" "$path/kill$i/event-channel" || return 1
        sleep "0.0$((i * 7 % 10))"
        victim=$server
        [ $((i % 2)) -eq 0 ] || victim=$client
        kill -9 "$victim"
        # Who is left ends of itself, or never found the channel.
        eventually gone_or_waiting "$server" "$client" "$victim" || return 1
        kill -9 "$server" "$client" 2>/dev/null
        wait "$server" "$client" 2>/dev/null
    done
    "$sim" status | grep -q '^inconsistency *none$'
}

# A client that had not connected when its server was killed goes on trying.
gone_or_waiting() {
    local left=$1
    [ "$left" != "$3" ] || left=$2
    gone "$left" || [ "$(counter maps)" -le 2 ]
}

for ring in 1024 2048 4096 65536; do
    tap_ok "a stream comes back whole through rings of $ring bytes" echoed send "$ring" 300000
done
tap_ok "a stream of many times the ring's size comes back whole" echoed send 4096 3000000
tap_ok "packets come back whole" echoed packets 2048 500
tap_ok "six channels at once between two domains" many_pairs
tap_ok "a client learns that its server was killed" server_dies
tap_ok "a server learns that its client was killed" client_dies
tap_ok "channels whose ends are killed in the middle of their work end" killed_in_the_middle
tap_ok "what they used is free again" eventually same_usage "$before"
tap_ok "a destroyed domain sends no notification" domain_vanishes
tap_done
