#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# xids-vchan between two domains of the simulator. (vchan-matrix.sh has the channels themselves.)
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
tool=$XIDS_BUILDDIR/xids-vchan
sim_need_debian
sim_begin
need_store xenstored --trace-file "$sim_work/trace"
server_domain=$("$sim" domain create --name server)
client_domain=$("$sim" domain create --name client)

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
