#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# vchan between two domains of the simulator: xids and the real libxenvchan in all four pairs, over many ring orders, as
# stream and as packets; and the end of either side by close and by kill -9, seen by the other. Then xids-vchan.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
tool=$XIDS_BUILDDIR/xids-vchan
peer=$XIDS_BUILDDIR/tests/interop/vchan-peer
sim_need_debian
sim_begin
need_store xenstored --trace-file "$sim_work/trace"
server_domain=$("$sim" domain create --name server)
client_domain=$("$sim" domain create --name client)

# Sets path to one that no case had before: each runs in a shell of its own.
next_path() {
    path=/local/domain/$server_domain/data/vchan/$client_domain/$BASHPID
}

# run SIDE IMPLEMENTATION LEFT RIGHT MODE DUTY: one end, in its domain.
run() {
    local side=$1 domain=$server_domain other=$client_domain
    [ "$side" = server ] || { domain=$client_domain other=$server_domain; }
    # exec: so that killing the job kills the program.
    exec "$sim" exec --domain "$domain" -- "$peer" "$2" "$side" "$other" "$path" "$3" "$4" "$5" "$6"
}

# pair SERVER CLIENT LEFT RIGHT MODE SERVER_DUTY CLIENT_DUTY: both ends; passes when both do.
pair() {
    local failed=0 first second
    next_path
    (run server "$1" "$3" "$4" "$5" "$6") &
    first=$!
    (run client "$2" "$3" "$4" "$5" "$7") &
    second=$!
    wait "$first" || { echo "the server failed"; failed=1; }
    wait "$second" || { echo "the client failed"; failed=1; }
    return "$failed"
}

# in_turn SERVER CLIENT...: one server, three clients one after the other on the same pages.
in_turn() {
    local server=$1 first status=0 client
    shift
    next_path
    (run server "$server" 12 13 stream serve) &
    first=$!
    for client in "$@"; do
        (run client "$client" 12 13 stream exchange) || { echo "client $client failed"; status=1; }
    done
    wait "$first" || { echo "the server failed"; status=1; }
    return "$status"
}

# A domain is destroyed whose listener has still to deliver to it and to take from it: the latter is all kept.
last_words() {
    local domain feeder speaker listener client got
    domain=$("$sim" domain create --name doomed) || return
    mkfifo "$sim_work/in" "$sim_work/words" "$sim_work/out" "$sim_work/unread"
    head -c 1000000 /dev/zero >"$sim_work/in" &
    feeder=$!
    head -c 1000000 /dev/zero >"$sim_work/words" &
    speaker=$!
    "$sim" exec --domain "$server_domain" -- "$tool" listen "$domain" last <"$sim_work/in" >"$sim_work/out" \
        2>"$sim_work/last.err" &
    listener=$!
    exec 3<"$sim_work/out"
    # Nobody reads what the client prints either, so that both rings fill up.
    exec 4<>"$sim_work/unread"
    "$sim" exec --domain "$domain" -- "$tool" connect "$server_domain" last <"$sim_work/words" >&4 2>/dev/null &
    client=$!
    # Both have come to print something, and nobody can go on.
    eventually read -r -t 0 -u 3 && eventually read -r -t 0 -u 4 &&
        eventually all_asleep "$feeder" "$speaker" "$listener" "$client" || return
    "$sim" domain destroy "$domain" || return
    # The listener takes no more from its input when it has noticed, and waits for us.
    eventually gone "$feeder" || { echo "not noticed"; return 1; }
    eventually all_asleep "$listener" || { echo "awake for nothing"; return 1; }
    got=$(wc -c <&3)
    wait "$listener"
    exec 3<&- 4>&-
    # A pipe and a ring of 64 KiB each, and what the buffer between them happened to hold; page sizes may leave gaps.
    [ "$got" -ge 120000 ] || { echo "$got bytes"; cat "$sim_work/last.err"; return 1; }
    grep -q 'No such device' "$sim_work/last.err"
}

# killed SERVER CLIENT WHO: the server or the client is killed; the other must get all bytes and see the end.
killed() {
    local duty_server=last duty_client=last first second victim watcher status=0
    next_path
    rm -f "$sim_work/server.out" "$sim_work/client.out"
    [ "$3" = server ] && duty_server=die || duty_client=die
    (run server "$1" 12 11 stream "$duty_server" >"$sim_work/server.out") &
    first=$!
    (run client "$2" 12 11 stream "$duty_client" >"$sim_work/client.out") &
    second=$!
    victim=$second watcher=$first
    [ "$3" = client ] || { victim=$first watcher=$second; }
    eventually grep -q '^ready ' "$sim_work/$3.out" || { echo "it was never ready"; kill "$first" "$second"; return 1; }
    kill -KILL "$(sed -n 's/^ready //p' "$sim_work/$3.out")"
    wait "$watcher" || { echo "the other did not see it"; status=1; }
    wait "$victim" 2>/dev/null
    return "$status"
}

# A file through xids-vchan from one domain to the other.
piped() {
    local listener status=0
    head -c 3000000 /dev/urandom >"$sim_work/sent"
    "$sim" exec --domain "$server_domain" -- "$tool" listen "$client_domain" tool </dev/null >"$sim_work/got" &
    listener=$!
    "$sim" exec --domain "$client_domain" -- "$tool" -t 60 connect "$server_domain" tool <"$sim_work/sent" || status=1
    wait "$listener" || status=1
    cmp "$sim_work/sent" "$sim_work/got" || status=1
    return "$status"
}

# readable NAME: whether the client can read that server's port: then all is published.
readable() {
    in_domain "$client_domain" "$tools/xenstore-read" \
        "/local/domain/$server_domain/data/vchan/$client_domain/$1/event-channel"
}

# looks NAME: how often a client has asked the store for that server's port.
looks() {
    grep -c " READ (/local/domain/$server_domain/data/vchan/$client_domain/$1/event-channel )" "$sim_work/trace"
}

# looked NAME N: whether the client has tried for so long that it has asked more than N times.
looked() {
    [ "$(looks "$1")" -gt "$2" ]
}

early_client() {
    local client before status=0
    before=$(looks "$1")
    "$sim" exec --domain "$client_domain" -- "$tool" -t 60 connect "$server_domain" "$1" </dev/null >"$sim_work/got" &
    client=$!
    # It asks once when there is nothing, twice when there are numbers to try; after that it tries again.
    eventually looked "$1" $((before + 2)) || { echo "it does not look"; status=1; }
    echo late | "$sim" exec --domain "$server_domain" -- "$tool" listen "$client_domain" "$1" || status=1
    wait "$client" || status=1
    [ "$(cat "$sim_work/got")" = late ] || status=1
    return "$status"
}

nobody() {
    local status=0
    "$sim" exec --domain "$client_domain" -- "$tool" -t 1 connect "$server_domain" nobody </dev/null || status=$?
    [ "$status" -eq 1 ]
}

stopped_while_waiting() {
    local client before
    before=$(looks stopped)
    "$sim" exec --domain "$client_domain" -- "$tool" connect "$server_domain" stopped </dev/null &
    client=$!
    eventually looked stopped "$before" || { echo "it does not look"; return 1; }
    kill -TERM "$client"
    wait "$client"
    [ $? -eq 143 ]
}

# Numbers left by a listener that was killed lead nobody astray.
stale() {
    local listener idle
    idle=$(usage)
    "$sim" exec --domain "$server_domain" -- "$tool" listen "$client_domain" stale </dev/null &
    listener=$!
    eventually readable stale || return
    kill -KILL "$listener"
    wait "$listener" 2>/dev/null
    # What a kernel has done before anybody learns of the end, the simulator's daemon does a little later.
    eventually same_usage "$idle" || return
    early_client stale
}

# exists PATH: whether it is in xenstore, as domain 0 sees it.
exists() {
    "$sim" exec -- "$tools/xenstore-exists" "$1"
}

# A listener removes what it made, and no more: what was there before, or came from others, stays.
cleans_up() {
    local base=/local/domain/$server_domain/data listener status=0
    "$sim" exec -- "$tools/xenstore-write" "$base/shared/other" kept
    "$sim" exec --domain "$server_domain" -- "$tool" listen "$client_domain" "$base/shared/a/b" </dev/null &
    listener=$!
    eventually exists "$base/shared/a/b/event-channel" || status=1
    [ "$1" = no ] || "$sim" exec -- "$tools/xenstore-write" "$base/shared/a/neighbour" kept
    kill -TERM "$listener"
    wait "$listener"
    [ $? -eq 143 ] || status=1
    exists "$base/shared/other" || status=1
    ! exists "$base/shared/a/b" || status=1
    if [ "$1" = no ]; then
        ! exists "$base/shared/a" || status=1
    else
        exists "$base/shared/a/neighbour" || status=1
    fi
    return "$status"
}

for_the_client_alone() {
    local listener perms status=0
    "$sim" exec --domain "$server_domain" -- "$tool" listen "$client_domain" private </dev/null &
    listener=$!
    eventually readable private || status=1
    perms=$("$sim" exec -- "$tools/xenstore-ls" -p \
        "/local/domain/$server_domain/data/vchan/$client_domain/private")
    kill -TERM "$listener"
    wait "$listener"
    [ "$(grep -c "(n$server_domain,r$client_domain)" <<<"$perms")" -eq 2 ] || { echo "$perms"; status=1; }
    return "$status"
}

before=$(usage)
orders_any="10:11 11:10 12:12 13:15 11:16 16:11 20:20"
orders_xids="10:12 12:10 10:19"
for mode in stream packet; do
    for pair in xids:libxenvchan libxenvchan:xids xids:xids; do
        list=$orders_any
        [ "${pair%:*}" != xids ] || list="$list $orders_xids"
        for order in $list; do
            tap_ok "server ${pair%:*}, client ${pair#*:}, orders ${order/:/ and }, $mode" \
                pair "${pair%:*}" "${pair#*:}" "${order%:*}" "${order#*:}" "$mode" exchange exchange
        done
    done
done
for pair in xids:libxenvchan libxenvchan:xids xids:xids; do
    tap_ok "server ${pair%:*} closes, client ${pair#*:} gets the last bytes and the end" \
        pair "${pair%:*}" "${pair#*:}" 12 12 stream leave last
    tap_ok "client ${pair#*:} closes, server ${pair%:*} gets the last bytes and the end" \
        pair "${pair%:*}" "${pair#*:}" 12 12 stream last leave
    tap_ok "server ${pair%:*} is killed, client ${pair#*:} gets the last bytes and the end" \
        killed "${pair%:*}" "${pair#*:}" server
    tap_ok "client ${pair#*:} is killed, server ${pair%:*} gets the last bytes and the end" \
        killed "${pair%:*}" "${pair#*:}" client
done
tap_ok "server xids serves clients of libxenvchan and xids one after the other" in_turn xids libxenvchan xids libxenvchan
tap_ok "server libxenvchan serves clients of xids and itself one after the other" in_turn libxenvchan xids libxenvchan xids
tap_ok "xids-vchan carries a file between two domains" piped
tap_ok "xids-vchan waits for a server that comes late" early_client late
tap_ok "xids-vchan takes names that libxenvchan cuts off" early_client "$(printf 'long%.0s' {1..40})"
tap_ok "xids-vchan gives up after its time" nobody
tap_ok "xids-vchan can be stopped while it waits" stopped_while_waiting
tap_ok "xids-vchan passes over what a killed listener left" stale
tap_ok "xids-vchan delivers what a destroyed domain had sent" last_words
tap_ok "a listener removes the folders it made" cleans_up no
tap_ok "a listener leaves what others put beside it" cleans_up yes
tap_ok "the numbers are readable by the client alone" for_the_client_alone
tap_ok "no port, grant or mapping is left" eventually same_usage "$before"
tap_done
