#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# xids-randomd on a simulated machine, over each xenstored there is: guests are seeded, whatever happens to the daemon, to
# them, and to their domains; and nothing is left in the store.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

randomd=$XIDS_BUILDDIR/xids-randomd
demo=$XIDS_BUILDDIR/xids-entropy-demo
backend=/local/domain/0/backend/randomd

start_randomd() {
    "$sim" exec -- "$randomd" --foreground --log-level debug --control "$sim_work/control" \
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

# field NAME: a counter of the daemon.
field() {
    status | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"
}

exists() {
    in_domain 0 "$tools/xenstore-exists" "$1"
}

gone_from_store() {
    ! exists "$1"
}

# seeded N: one run of the demonstration in domain N; its fingerprint is added to the list.
seeded() {
    local line
    line=$(in_domain "$1" "$demo" --pull 65536 --timeout 20) || return 1
    echo "$line"
    [[ $line =~ ^"domain $1: seed fingerprint "([0-9a-f]{16})" grade HOST, first seed after "[0-9]+" us, 65536 bytes " ]] &&
        echo "${BASH_REMATCH[1]}" >>"$sim_work/fingerprints"
}

all_different() {
    local all distinct
    all=$(wc -l <"$sim_work/fingerprints")
    distinct=$(sort -u "$sim_work/fingerprints" | wc -l)
    [ "$all" -ge "$1" ] && [ "$all" -eq "$distinct" ]
}

# What is published is two numbers and a version for each guest.
only_numbers() {
    local leaf value
    for leaf in $(in_domain 0 "$tools/xenstore-list" "$backend/1/0"); do
        value=$(in_domain 0 "$tools/xenstore-read" "$backend/1/0/$leaf") || return
        [[ $leaf =~ ^(ring-ref|event-channel|version)$ && $value =~ ^[0-9]{1,10}$ ]] || { echo "$leaf = $value"; return 1; }
    done
}

# A guest that stays; its lines go to stay.N.
stay() {
    "$sim" exec --domain "$1" -- "$demo" --stay --pull 4096 --timeout 20 >"$sim_work/stay.$1" 2>&1 </dev/null &
    echo $! >>"$sim_work/stayers"
    disown $!
    eventually lines_are "$1" 1
}

lines_are() {
    [ "$(grep -c '^domain .* grade HOST' "$sim_work/stay.$1")" -ge "$2" ] || { cat "$sim_work/stay.$1"; return 1; }
}

killed_and_restarted() {
    local pid
    pid=$(daemon)
    kill -KILL "$pid"
    eventually gone "$pid" && start_randomd && eventually lines_are 1 2 && eventually lines_are 2 2
}

# The lines of a guest that stayed name a different seed and epoch for each channel.
reseeded() {
    [ "$(sed -n 's/.*fingerprint \([0-9a-f]*\) .*/\1/p' "$sim_work/stay.$1" | sort -u | wc -l)" -ge "$2" ]
}

destroyed() {
    "$sim" domain destroy 3 && eventually gone_from_store "$backend/3" && exists "$backend/1/0/event-channel"
}

reused() {
    "$sim" domain create --domid 3 --name again >/dev/null && eventually exists "$backend/3/0/event-channel" && seeded 3
}

# Between two looks of the daemon the old domain goes and another one comes in its place.
reused_at_once() {
    local before
    before=$(field offers)
    kill -STOP "$(daemon)"
    "$sim" domain destroy 3 && "$sim" domain create --domid 3 --name third >/dev/null
    kill -CONT "$(daemon)"
    eventually exists /local/domain/3/device/randomd/0/backend && seeded 3 && [ "$(field offers)" -gt "$before" ]
}

killed_guest() {
    "$sim" exec --domain 3 -- "$demo" --stay --pull 1000 >"$sim_work/victim" 2>&1 </dev/null &
    local victim=$!
    disown "$victim"
    eventually grep -q 'grade HOST' "$sim_work/victim" && kill -KILL "$victim" && eventually gone "$victim" && seeded 3
}

refused_second() {
    in_domain 0 "$randomd" --foreground --control "$sim_work/control" 2>"$sim_work/second"
    [ $? -eq 1 ] && contains "$sim_work/second" "another xids-randomd answers"
}

# With a control socket of its own it would take the first one's guests.
refused_beside() {
    in_domain 0 "$randomd" --foreground --control "$sim_work/other" 2>"$sim_work/second"
    [ $? -eq 1 ] && contains "$sim_work/second" "another xids-randomd serves from this domain" && [ ! -e "$sim_work/other" ]
}

# Without --foreground: the exit status, and not only the system's log, says whether it serves.
refused_in_background() {
    in_domain 0 "$randomd" --control "$sim_work/control" 2>"$sim_work/second"
    [ $? -eq 1 ] && contains "$sim_work/second" "another xids-randomd answers"
}

in_background() {
    local pid
    in_domain 0 "$randomd" --control "$sim_work/background" || return 1
    # It answers at once: nothing is waited for.
    in_domain 0 "$randomd" --control "$sim_work/background" --status >/dev/null || return 1
    pid=$(pgrep -f -- "--control $sim_work/background\$")
    kill -TERM "$pid" && eventually gone "$pid"
}

spares_files() {
    echo mine >"$sim_work/file"
    in_domain 0 "$randomd" --foreground --control "$sim_work/file" 2>"$sim_work/second"
    [ $? -eq 1 ] && contains "$sim_work/second" "something else of that name" && contains "$sim_work/file" mine
}

stopped() {
    local pid
    pid=$(daemon)
    kill -TERM "$pid"
    eventually gone "$pid" && gone_from_store "$backend" && gone_from_store /local/domain/1/device/randomd &&
        gone_from_store /local/domain/3/device/randomd && [ ! -e "$sim_work/control" ]
}

# But for domain 3, which is another one at the end.
tree() {
    in_domain 0 "$tools/xenstore-ls" -f -p / | grep -v '^/tool\|^/@\|^/vm\|^/local/domain/3'
}

same_tree() {
    tree | diff "$sim_work/tree" -
}

entropy_cases() {
    local kind=$1 before pid
    sim_begin
    need_store "$kind"
    for i in 1 2 3; do
        "$sim" domain create --name "guest$i" >/dev/null
    done
    tree >"$sim_work/tree"
    before=$(usage)
    tap_ok "$kind: the daemon starts" start_randomd
    tap_ok "$kind: and stops" stopped
    tap_ok "$kind: with the store as it was" eventually same_tree
    # Somebody else's directory, so that the folders above ours stay whoever made them.
    in_domain 0 "$tools/xenstore-write" /local/domain/0/backend/other ""
    tree >"$sim_work/tree"
    tap_ok "$kind: it starts again" start_randomd
    tap_ok "$kind: guests that were there before it get a channel" eventually exists "$backend/3/0/event-channel"
    for i in 1 2 3; do
        tap_ok "$kind: guest $i is seeded" seeded "$i"
    done
    tap_ok "$kind: guest 1 is seeded again" seeded 1
    tap_ok "$kind: no two seeds are alike" all_different 4
    tap_ok "$kind: the store holds only numbers" only_numbers
    tap_ok "$kind: a guest cannot change its pointer" fails in_domain 1 "$tools/xenstore-write" \
        /local/domain/1/device/randomd/0/backend /evil
    tap_ok "$kind: a guest cannot read another's nodes" fails in_domain 2 "$tools/xenstore-read" "$backend/1/0/ring-ref"
    tap_ok "$kind: a second daemon is refused" refused_second
    tap_ok "$kind: also with another control socket" refused_beside
    tap_ok "$kind: in the background, too, and it says so" refused_in_background
    tap_ok "$kind: a file in the place of the control socket is not removed" spares_files
    tap_ok "$kind: guests stay connected" eval 'stay 1 && stay 2'
    tap_ok "$kind: kill -9 and restart: guests find the new channel" killed_and_restarted
    tap_ok "$kind: and have reseeded" eval 'reseeded 1 2 && reseeded 2 2'
    tap_ok "$kind: a destroyed guest's nodes go" destroyed
    tap_ok "$kind: its number, used again, is another guest" reused
    tap_ok "$kind: also when the daemon sees it late" reused_at_once
    tap_ok "$kind: a killed guest program is succeeded by another" killed_guest
    tap_ok "$kind: still no two seeds are alike" all_different 7
    tap_ok "$kind: nobody broke the protocol" prints 0 field violations
    tap_ok "$kind: SIGTERM leaves nothing in the store" stopped
    while read -r pid; do
        kill -TERM "$pid"
        tap_ok "$kind: a guest that stayed ends" eventually gone "$pid"
    done <"$sim_work/stayers"
    tap_ok "$kind: in the background it serves when its starter returns" in_background
    tap_ok "$kind: the store is as before" eventually same_tree
    tap_ok "$kind: no grant, port or page is left" eventually same_usage "$before"
    sim_end
}

for kind in xenstored oxenstored xids-xenstored; do
    entropy_cases "$kind"
done
tap_done
