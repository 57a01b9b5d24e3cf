#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# The console protocol of old (docs/spec/randomd-legacy.md): xids-randomd on a simulated machine, over each xenstored there is,
# and a client written from that page alone, on Xen's own libraries.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

randomd=$XIDS_BUILDDIR/xids-randomd
client=$XIDS_BUILDDIR/tests/interop/legacy_reader
backend=/local/domain/0/backend/xentropyd

start_randomd() {
    printf '[randomd]\nlegacy = %s\n' "$1" >"$sim_work/config"
    "$sim" exec -- "$randomd" --foreground --log-level debug --config "$sim_work/config" --control "$sim_work/control" \
        >>"$sim_work/randomd.log" 2>&1 </dev/null &
    echo $! >"$sim_work/randomd.pid"
    disown $!
    eventually status || { cat "$sim_work/randomd.log"; return 1; }
}

# A case runs in a subshell, so what must outlive it is in files.
daemon() {
    cat "$sim_work/randomd.pid"
}

status() {
    in_domain 0 "$randomd" --control "$sim_work/control" --status
}

# field NAME: a counter of the console protocol's.
field() {
    status | sed -n "s/.*\"legacy\":{[^}]*\"$1\":\([0-9]*\).*/\1/p"
}

exists() {
    in_domain 0 "$tools/xenstore-exists" "$1"
}

gone_from_store() {
    ! exists "$1"
}

reads() {
    in_domain 0 "$tools/xenstore-read" "$1"
}

stopped() {
    local pid
    pid=$(daemon)
    kill -TERM "$pid"
    eventually gone "$pid"
}

killed() {
    local pid
    pid=$(daemon)
    kill -KILL "$pid"
    eventually gone "$pid"
}

# ---- the nodes of section 2 ----

# What xenstore-ls shows of the two ends, without the tree's own order.
ends() {
    in_domain 0 "$tools/xenstore-ls" -f -p "$backend" | sed -n "s|^$backend/$1/||p"
    in_domain 0 "$tools/xenstore-ls" -f -p "/local/domain/$1/device/console" | sed -n "s|^/local/domain/$1/device/console/|F |p"
}

# expected_ends G N
expected_ends() {
    local leaf
    printf '%s = ""   (n0,r%s)\n' "$2" "$1"
    for leaf in "frontend = \"/local/domain/$1/device/console/$2\"" "frontend-id = \"$1\"" 'online = "1"' 'state = "1"' 'protocol = "vt100"'; do
        printf '%s/%s   (n0,r%s)\n' "$2" "$leaf" "$1"
    done
    printf 'F %s = ""   (n%s,r0)\n' "$2" "$1"
    for leaf in "backend = \"$backend/$1/$2\"" 'backend-id = "0"' 'state = "1"' 'protocol = "vt100"' 'name = "org.openmirage.entropy.1"'; do
        printf 'F %s/%s   (n%s,r0)\n' "$2" "$leaf" "$1"
    done
    for leaf in 'limit = "1048576"' 'output = "pty"' 'tty = ""'; do
        printf 'F %s/%s   (n0,r%s)\n' "$2" "$leaf" "$1"
    done
}

nodes_are() {
    diff <(expected_ends "$@" | tr -s ' .' ' ' | sort) <(ends "$1" | grep -v "^F $3[/ ]" | tr -s ' .' ' ' | sort)
}

# A console of the toolstack's: ours comes behind it.
has_console() {
    in_domain 0 "$tools/xenstore-write" "/local/domain/2/device/console/4/name" "org.example.other"
    # So that the folders above ours stay whoever made them.
    in_domain 0 "$tools/xenstore-write" /local/domain/0/backend/other ""
}

behind_another() {
    eventually exists "$backend/2/5/state" && nodes_are 2 5 4
}

# A client in the middle of its stream is told.
leaves_nothing() {
    stopped && asked 2 200 "legacy_reader: the server has gone" 1 && gone_from_store "$backend" && gone_from_store /local/domain/1/device/console
}

# ---- clients ----

# one N [OPTION...]: a client in domain N, that must get what it should; its stream is added to the list.
one() {
    local domid=$1 out
    shift
    out=$(in_domain "$domid" "$client" --close "$@") || { echo "$out"; return 1; }
    echo "$out"
    grep -qx 'response 61 bytes' <<<"$out" && [ "$(sed -n 's/^most //p' <<<"$out")" -le 64 ] || return 1
    sed -n 's/^stream \(.\{64\}\).*/\1/p' <<<"$out" >>"$sim_work/streams"
}

all_different() {
    [ "$(wc -l <"$sim_work/streams")" -ge "$1" ] && [ -z "$(sort "$sim_work/streams" | uniq -d)" ]
}

every_piece() {
    local n
    for n in 1 5 32; do
        one 2 --pieces "$n" || return 1
    done
}

long_stream() {
    local out
    out=$(in_domain 1 "$client" --close --take 16 512) || { echo "$out"; return 1; }
    # No eight bytes come twice.
    sed -n 's/^stream //p' <<<"$out" | fold -w 16 | sort | uniq -d | grep . && return 1
    [ "$(sed -n 's/^stream //p' <<<"$out" | tr -d '\n' | wc -c)" -eq 1024 ]
}

# A client that is there first.
waits_for_server() {
    local pid
    one 3 &
    pid=$!
    start_randomd on && wait "$pid"
}

# A client that stays, and does what it reads from a pipe: stay N.
stay() {
    rm -f "$sim_work/ask.$1" "$sim_work/stay.$1"
    mkfifo "$sim_work/ask.$1"
    # The pipe stays open, at both ends, as long as this does.
    sleep 300 <>"$sim_work/ask.$1" >/dev/null 2>&1 &
    echo $! >>"$sim_work/children"
    disown $!
    "$sim" exec --domain "$1" -- "$client" --ask --timeout 30 16 >"$sim_work/stay.$1" 2>&1 <"$sim_work/ask.$1" &
    echo $! >>"$sim_work/children"
    echo $! >"$sim_work/stayer.$1"
    disown $!
    eventually has_lines "$1" stream 1
}

has_lines() {
    [ "$(grep -c "^$2" "$sim_work/stay.$1")" -ge "$3" ] || { cat "$sim_work/stay.$1"; return 1; }
}

# asked N LINE WHAT COUNT: the client in domain N does LINE, and has then printed COUNT lines of WHAT.
asked() {
    echo "$2" >"$sim_work/ask.$1"
    eventually has_lines "$1" "$3" "$4"
}

no_repeat_in() {
    sed -n 's/^stream //p' "$sim_work/stay.$1" | fold -w 16 | sort | uniq -d | grep . && return 1
    return 0
}

# The server dies; a client in the middle of its stream does not notice.
goes_on() {
    killed && start_randomd on && asked 1 200 stream 2 && no_repeat_in 1 && [ "$(grep -c response "$sim_work/stay.1")" -eq 1 ] &&
        [ "$(field adopted)" -ge 1 ] && eventually prints 4 reads "$backend/1/1/state" &&
        [ "$(in_domain 0 "$tools/xenstore-list" /local/domain/1/device/console)" = 1 ]
}

# Without an end, as drivers do when the domain goes on after a suspend that was cancelled, or a checkpoint.
resumes() {
    asked 1 resume response 3 && asked 1 100 stream 4 && no_repeat_in 1 && prints 4 reads "$backend/1/1/state"
}

ends_client() {
    local pid
    pid=$(cat "$sim_work/stayer.$1")
    kill -KILL "$pid"
    eventually gone "$pid"
}

breaks() {
    local before
    before=$(field violations)
    asked 2 break broken 1 && eventually prints $((before + 1)) field violations && one 1 && asked 2 again response 2 && asked 2 32 stream 2
}

# Nodes that make no sense, and a device that is there by half.
nonsense() {
    local f=/local/domain/3/device/console/1 value
    for value in "" x 4294967296 -1 0; do
        in_domain 3 "$tools/xenstore-write" -- "$f/port" "$value" "$f/ring-ref" "$value" "$f/state" 4 || return 1
    done
    in_domain 3 "$tools/xenstore-write" "$f/state" "not a number"
    one 3
}

# However often a guest fails, a few lines of log in ten seconds are all that it gets.
few_lines() {
    local f=/local/domain/2/device/console/5 i before lines began=$SECONDS
    before=$(field failures)
    for i in {1..12}; do
        in_domain 2 "$tools/xenstore-write" "$f/port" "" "$f/state" 4 || return 1
        eventually prints $((before + i)) field failures || return 1
    done
    lines=$(grep -c 'domain 2: its console cannot be connected' "$sim_work/randomd.log")
    [ "$lines" -gt 0 ] && [ "$lines" -le $((4 + 4 * ((SECONDS - began + 10) / 10))) ]
}

# And what is left of a domain that has gone meanwhile.
half() {
    killed || return 1
    in_domain 0 "$tools/xenstore-write" "$backend/77/1/state" 4
    in_domain 0 "$tools/xenstore-rm" "$backend/3" && start_randomd on && eventually exists "$backend/3/1/state" && nodes_are 3 1 - && gone_from_store "$backend/77" && one 3
}

vanished() {
    in_domain 0 "$tools/xenstore-rm" /local/domain/3/device/console/1 && eventually gone_from_store "$backend/3"
}

destroyed() {
    "$sim" domain destroy 3 && eventually gone_from_store "$backend/3" && "$sim" domain create --domid 3 --name again >/dev/null &&
        eventually exists "$backend/3/1/state" && one 3
}

reused_at_once() {
    stay 3 && kill -STOP "$(daemon)" || return 1
    "$sim" domain destroy 3 && "$sim" domain create --domid 3 --name third >/dev/null
    kill -CONT "$(daemon)"
    eventually exists /local/domain/3/device/console/1/name && eventually exists "$backend/3/1/state" && one 3
}

# What guests wrote is nowhere in the log.
no_guest_text() {
    ! grep -qi "hello\|swordfish" "$sim_work/randomd.log"
}

off() {
    start_randomd off && eventually exists /local/domain/1/device/randomd/0/backend && gone_from_store "$backend" &&
        gone_from_store /local/domain/1/device/console && [ -z "$(field guests)" ] && stopped
}

tree() {
    in_domain 0 "$tools/xenstore-ls" -f -p / | grep -v '^/tool\|^/@\|^/vm\|^/local/domain/3'
}

same_tree() {
    tree | diff "$sim_work/tree" -
}

legacy_cases() {
    local kind=$1 before pid
    sim_begin
    need_store "$kind"
    for i in 1 2 3; do
        "$sim" domain create --name "guest$i" >/dev/null
    done
    tap_ok "$kind: another console is there" has_console
    tree >"$sim_work/tree"
    before=$(usage)
    tap_ok "$kind: without the setting there is no device" off
    tap_ok "$kind: the daemon starts, and serves a client that waited for it" waits_for_server
    tap_ok "$kind: a guest gets a device" eventually exists "$backend/1/1/state"
    tap_ok "$kind: with the nodes that the protocol says" nodes_are 1 1 -
    tap_ok "$kind: behind the consoles that were there" behind_another
    tap_ok "$kind: a client is served" one 1
    tap_ok "$kind: another one too" one 2
    tap_ok "$kind: a guest may begin again" one 1
    tap_ok "$kind: with a greeting that comes in pieces" every_piece
    tap_ok "$kind: with one that comes before the server" one 1 --early
    tap_ok "$kind: as a Linux frontend does, with state 3" one 1 --state 3
    tap_ok "$kind: after the line of a terminal" one 1 --before "swordfish"$'\r\n'
    tap_ok "$kind: bytes come as they are taken" long_stream
    tap_ok "$kind: no two streams are alike" all_different 9
    tap_ok "$kind: clients stay" eval 'stay 1 && stay 2'
    tap_ok "$kind: kill -9 and restart: a client reads on" goes_on
    tap_ok "$kind: its driver begins again with the page it has" eval 'asked 1 again response 2 && asked 1 100 stream 3 && no_repeat_in 1'
    tap_ok "$kind: and after a resume" resumes
    tap_ok "$kind: a killed client is succeeded by another" eval 'ends_client 1 && one 1'
    tap_ok "$kind: impossible indices end one connection and no other" breaks
    tap_ok "$kind: nodes that make no sense do no harm" nonsense
    tap_ok "$kind: and cost few lines of log" few_lines
    tap_ok "$kind: half a device is made anew" half
    tap_ok "$kind: a device that vanished is given up" vanished
    tap_ok "$kind: a domain's number, used again, is another guest" destroyed
    tap_ok "$kind: also when the daemon sees it late" reused_at_once
    tap_ok "$kind: no two streams are alike, still" all_different 14
    tap_ok "$kind: what guests wrote is not logged" no_guest_text
    tap_ok "$kind: SIGTERM leaves nothing of it in the store" leaves_nothing
    while read -r pid; do
        kill -KILL "$pid" 2>/dev/null
    done <"$sim_work/children"
    tap_ok "$kind: the store is as before" eventually same_tree
    tap_ok "$kind: no grant, port or page is left" eventually same_usage "$before"
    sim_end
}

for kind in xenstored oxenstored xids-xenstored; do
    legacy_cases "$kind"
done
tap_done
