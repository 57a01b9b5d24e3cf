#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# vchans by name between domains of the simulator: a service of xids for clients of xids and of the real libxenvchan, and
# clients of xids for a server of libxenvchan; who may come, who has the name, what is left behind.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
named=$XIDS_BUILDDIR/tests/interop/vchan_named
real=$XIDS_BUILDDIR/tests/interop/libxenvchan_peer
sim_need_debian
sim_begin
need_store xenstored
# As xen-init-dom0 does.
in_domain 0 "$tools/xenstore-write" /local/domain/0/domid 0
for domid in 1 2 3; do
    "$sim" domain create --domid "$domid" >/dev/null
done
before=$(usage)

# service DOMAIN NAME WHO...: begins one; sets $service to its process.
service() {
    local domid=$1
    shift
    "$sim" exec --domain "$domid" -- "$named" serve "$@" >"$sim_work/service.$domid.out" 2>&1 </dev/null &
    service=$!
}

# ends PID: ends a service in order.
ends() {
    kill -TERM "$1" && wait "$1"
}

exists() {
    in_domain 0 "$tools/xenstore-exists" "$1"
}

absent() {
    ! exists "$1"
}

# folder S C NAME: where S offers it to C.
folder() {
    echo "/local/domain/$1/data/vchan/$2/$3"
}

clients_of_libxenvchan() {
    local status=0 pids=() pid i
    service 1 echo 2 3
    for i in 1 2 3; do
        prints "echoed 100000" in_domain 2 "$real" send 1 "$(folder 1 2 echo)" 100000 &
        pids+=($!)
        prints "echoed 300" in_domain 3 "$real" packets 1 "$(folder 1 3 echo)" 300 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || status=1
    done
    ends "$service" || status=1
    return "$status"
}

clients_of_xids() {
    local status=0 pids=() pid i
    service 1 echo 2 3
    for i in 1 2 3; do
        prints "echoed 100000" in_domain 2 "$named" send echo 1 100000 25 &
        pids+=($!)
        prints "echoed 100000" in_domain 3 "$named" send echo 1 100000 25 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || status=1
    done
    ends "$service" || status=1
    return "$status"
}

# The client is there first, and knows nothing but the name; so does a domain that comes last.
by_name_alone() {
    local status=0 client
    prints "echoed 5000" in_domain 2 "$named" send here any 5000 25 &
    client=$!
    service 0 here all
    wait "$client" || status=1
    "$sim" domain create --domid 4 >/dev/null
    prints "echoed 5000" in_domain 4 "$named" send here any 5000 25 || status=1
    "$sim" domain destroy 4
    eventually absent "$(folder 0 4 here)" || { echo "what was for a domain that has gone is left"; status=1; }
    ends "$service" || status=1
    absent /local/domain/2/data/vchan-service/here || { echo "the pointer is left"; status=1; }
    return "$status"
}

# Nor need the service be ours.
server_of_libxenvchan() {
    local status=0 server
    in_domain 1 "$real" echo 2 data/vchan/2/theirs 8192 >"$sim_work/echo.out" &
    server=$!
    in_domain 0 "$tools/xenstore-write" /local/domain/2/data/vchan-service/theirs 1 || status=1
    prints "echoed 100000" in_domain 2 "$named" send theirs any 100000 25 || status=1
    wait "$server" || status=1
    return "$status"
}

others_are_refused() {
    local status=0
    service 1 private 2
    prints "echoed 10" in_domain 2 "$named" send private 1 10 25 || status=1
    eventually exists "$(folder 1 2 private)/event-channel" || status=1
    fails in_domain 3 "$tools/xenstore-read" "$(folder 1 2 private)/event-channel" || status=1
    absent "$(folder 1 3 private)" || status=1
    fails in_domain 3 "$named" send private 1 10 1 || status=1
    ends "$service" || status=1
    return "$status"
}

one_of_a_name() {
    local status=0 first second
    service 1 unique 2
    first=$service
    eventually exists "$(folder 1 2 unique)/event-channel" || status=1
    "$sim" exec --domain 1 -- "$named" serve unique 2 >"$sim_work/second.out" 2>&1 </dev/null &
    second=$!
    eventually grep -qx 'refused 32756 -98' "$sim_work/second.out" || status=1
    prints "echoed 10" in_domain 2 "$named" send unique 1 10 25 || status=1
    ends "$first" || status=1
    prints "echoed 10" in_domain 2 "$named" send unique 1 10 25 || status=1
    ends "$second" || status=1
    return "$status"
}

killed_service() {
    local status=0 idle client
    idle=$(usage)
    service 1 mortal 2 3
    eventually exists "$(folder 1 3 mortal)/event-channel" || status=1
    "$sim" exec --domain 2 -- "$named" hold mortal 1 >"$sim_work/hold.out" 2>&1 </dev/null &
    client=$!
    eventually grep -q connected "$sim_work/hold.out" || status=1
    kill -KILL "$service"
    wait "$service" 2>/dev/null
    wait "$client" || status=1
    grep -q closed "$sim_work/hold.out" || status=1
    eventually same_usage "$idle" || status=1
    prints "echoed 10" in_domain 2 "$named" send mortal 1 10 25 &
    client=$!
    service 1 mortal 2
    wait "$client" || status=1
    eventually absent "$(folder 1 3 mortal)" || { echo "an offer of the one before is left"; status=1; }
    ends "$service" || status=1
    return "$status"
}

killed_clients() {
    local status=0 i client
    service 1 patient 2
    for i in 1 2 3 4; do
        "$sim" exec --domain 2 -- "$named" hold patient 1 >"$sim_work/hold.out" 2>&1 </dev/null &
        client=$!
        eventually grep -q connected "$sim_work/hold.out" || status=1
        kill -KILL "$client"
        wait "$client" 2>/dev/null
        rm "$sim_work/hold.out"
    done
    prints "echoed 10" in_domain 2 "$named" send patient 1 10 25 || status=1
    ends "$service" || status=1
    return "$status"
}

# As long as xenstore allows.
longest_name() {
    local status=0 name
    name=$(head -c 2012 /dev/zero | tr '\0' n)
    service 1 "$name" 2
    prints "echoed 1000" in_domain 2 "$named" send "$name" 1 1000 25 || status=1
    ends "$service" || status=1
    return "$status"
}

nothing_left() {
    local left
    left=$(in_domain 0 "$tools/xenstore-ls" -f / | grep -E 'vchan/[0-9]+/.|vchan-server/.|vchan-service/.' |
        grep -v -e /theirs)
    [ -z "$left" ] || { echo "$left"; return 1; }
}

tap_ok "a service serves clients of libxenvchan in two domains side by side" clients_of_libxenvchan
tap_ok "a service serves clients of xids in two domains side by side" clients_of_xids
tap_ok "a service in domain 0 is found by name alone, by those who were there and who come later" by_name_alone
tap_ok "a client by name alone finds a server of libxenvchan" server_of_libxenvchan
tap_ok "a domain that may not come finds nothing" others_are_refused
tap_ok "of two services of one name the second waits" one_of_a_name
tap_ok "a killed service is followed by another" killed_service
tap_ok "killed clients are followed by others" killed_clients
tap_ok "the longest name serves" longest_name
tap_ok "no node is left in the store" nothing_left
tap_ok "no port, grant or mapping is left" eventually same_usage "$before"
tap_done
