#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Another xids-xenstored takes the place of the one that runs, and nobody notices; and takes that of Debian's C xenstored.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

# Not libtool's script, which is there before the program is installed.
program=$XIDS_BUILDDIR/.libs/xids-xenstored
[ -x "$program" ] || program=$XIDS_BUILDDIR/xids-xenstored
peer=$XIDS_BUILDDIR/tests/interop/live_peer
DOMAINS=200
UPDATES=20

control() {
    in_domain 0 "$xen_bin/xenstore-control" "$@"
}

update() {
    control live-update "$program"
}

# The updates so far that ended well, by the log.
updates() {
    grep -c 'live update: becoming' "$sim_work/store.log"
}

refused() {
    local said before
    before=$(updates)
    said=$(control live-update "$@" 2>&1)
    echo "$said"
    grep -q 'failed' <<<"$said" && [ "$(updates)" = "$before" ] && prints kept in_domain 0 "$tools/xenstore-read" /kept
}

# A program that never comes to an end. It can be told to sooner than its time is over.
hangs() {
    printf '#!/bin/sh\nexec sleep 100\n' >"$sim_work/hang"
    chmod +x "$sim_work/hang"
    refused "$sim_work/hang"
}

looking() {
    [ -n "$(machine_pids sleep)" ]
}

# What looks may write nothing: that it sleeps shows that it has begun.
served_while_it_looks() {
    local status=0
    control live-update "$sim_work/hang" >"$sim_work/slow.out" 2>&1 &
    local updater=$!
    eventually looking && prints kept in_domain 0 "$tools/xenstore-read" /kept && looking || status=1
    wait "$updater"
    return "$status"
}

# in_the_middle DOMID NODE: a client with transactions, a watch and half a request while the store is updated.
in_the_middle() {
    local status=0
    mkfifo "$sim_work/go.$1" || return 1
    "$sim" exec --domain "$1" -- timeout 60 "$peer" "$2" <"$sim_work/go.$1" >"$sim_work/peer.$1" 2>&1 &
    local client=$!
    exec 7>"$sim_work/go.$1"
    eventually grep -q ready "$sim_work/peer.$1" && update || status=1
    echo go >&7
    exec 7>&-
    wait "$client" || status=1
    cat "$sim_work/peer.$1"
    rm -f "$sim_work/go.$1"
    return "$status"
}

watchers_hear() {
    local i status=0 pids=()
    for i in 1 2; do
        "$sim" exec --domain "$i" -- timeout 60 "$tools/xenstore-watch" -n 2 data/watched \
            >"$sim_work/watch.$i" 2>&1 </dev/null &
        pids+=($!)
    done
    for i in 1 2; do
        eventually grep -q data/watched "$sim_work/watch.$i" || return 1
    done
    update || return 1
    for i in 1 2; do
        in_domain 0 "$tools/xenstore-write" "/local/domain/$i/data/watched" now || status=1
        wait "${pids[i - 1]}" || status=1
    done
    return "$status"
}

many() {
    local i
    for ((i = 100; i < 100 + DOMAINS; i++)); do
        "$sim" domain create --domid "$i" --name "many-$i" >/dev/null || return 1
    done
    for ((i = 0; i < UPDATES; i++)); do
        update || return 1
        prints "many-$((100 + i))" in_domain "$((100 + i))" "$tools/xenstore-read" name || return 1
        in_domain "$((100 + i))" "$tools/xenstore-write" data/mine "$i" || return 1
    done
    for ((i = 0; i < UPDATES; i++)); do
        prints "$i" in_domain 0 "$tools/xenstore-read" "/local/domain/$((100 + i))/data/mine" || return 1
    done
    prints "many-$((99 + DOMAINS))" in_domain "$((99 + DOMAINS))" "$tools/xenstore-read" name
}

death_is_announced() {
    "$sim" exec -- timeout 30 "$tools/xenstore-watch" -n 2 @releaseDomain >"$sim_work/release" 2>&1 </dev/null &
    local watcher=$!
    eventually grep -q releaseDomain "$sim_work/release" && update && "$sim" domain destroy 2 && wait "$watcher" &&
        fails in_domain 0 "$tools/xenstore-exists" /local/domain/2
}

same_process() {
    [ "$(machine_pids xids-xenstore)" = "$1" ]
}

ends() {
    kill "$1" && eventually gone "$1" && [ ! -e "$XIDS_SIM_DIR/run/xenstored/socket" ]
}

# C xenstored's state, taken over by ours in its process.
from_c() {
    "$sim" domain create --domid 31 --name of-c >/dev/null && in_domain 31 "$tools/xenstore-write" data/mine c || return 1
    "$sim" exec --domain 31 -- timeout 60 "$tools/xenstore-watch" -n 2 data/watched >"$sim_work/watch.c" 2>&1 </dev/null &
    local watcher=$!
    eventually grep -q data/watched "$sim_work/watch.c" || return 1
    LD_LIBRARY_PATH=$XIDS_BUILDDIR/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} \
        control live-update -c "--foreground --no-sandbox" "$program" || return 1
    prints of-c in_domain 31 "$tools/xenstore-read" name && prints c in_domain 31 "$tools/xenstore-read" data/mine &&
        in_domain 0 "$tools/xenstore-write" /local/domain/31/data/watched now && wait "$watcher" &&
        control help | grep -q live-update
}

sim_begin
need_store xids-xenstored
store=$(machine_pids xids-xenstore)
in_domain 0 "$tools/xenstore-write" /kept kept
for domid in 1 2; do
    "$sim" domain create --domid "$domid" --name "guest-$domid" >/dev/null
done
tap_ok "a xenstored is updated" update
tap_ok "it has what was written" prints kept in_domain 0 "$tools/xenstore-read" /kept
tap_ok "it serves the guests' rings" prints guest-1 in_domain 1 "$tools/xenstore-read" name
tap_ok "it is the same process" same_process "$store"
tap_ok "watches of guests fire after an update" watchers_hear
tap_ok "a client of the socket goes on with transactions, a watch and half a request" in_the_middle 0 /peer
tap_ok "a guest goes on with transactions and a watch" in_the_middle 1 data/peer
tap_ok "a program that ends with an error is refused" refused /bin/false
wrong_options() {
    local said
    said=$(refused "$program" -c --nonsense) && echo "$said" && grep -q 'as for wrong options' <<<"$said"
}
tap_ok "wrong options are refused, and said to be the reason" wrong_options
tap_ok "a program that does nothing with the state is refused" refused /bin/echo
tap_ok "a file that is no program is refused" refused "$sim_work/store.log"
tap_ok "a file that is not there is refused" refused "$sim_work/nothing"
tap_ok "a program that hangs is refused" hangs
tap_ok "clients are served while a program looks at the state" served_while_it_looks
tap_ok "the death of a domain is announced after an update" death_is_announced
tap_ok "$DOMAINS domains go through $UPDATES updates" many
tap_ok "new domains are introduced after that" prints 3 "$sim" domain create --domid 3
tap_ok "the tree is sound" control check
tap_ok "it ends as it would have" ends "$store"
"$sim" down
"$sim" up
need_store xenstored
tap_ok "ours goes on in the place of C xenstored" from_c
tap_done
