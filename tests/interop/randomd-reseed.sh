#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# xids-randomd tells guests that their memory was copied, by their reseed pages: when they are introduced, when they run
# on after they were suspended, and when it is asked to; whatever they say of where the page is.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

randomd=$XIDS_BUILDDIR/xids-randomd
page=$XIDS_BUILDDIR/tests/interop/reseed_page
zeros=00000000000000000000000000000000

start_randomd() {
    "$sim" exec -- "$randomd" --foreground --log-level debug --control "$sim_work/control" \
        >>"$sim_work/randomd.log" 2>&1 </dev/null &
    echo $! >"$sim_work/randomd.pid"
    disown $!
    eventually ask --status || { cat "$sim_work/randomd.log"; return 1; }
}

daemon() {
    cat "$sim_work/randomd.pid"
}

ask() {
    in_domain 0 "$randomd" --control "$sim_work/control" "$@"
}

# field NAME: a counter of the daemon.
field() {
    ask --status | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"
}

# says DOMID WHAT: the guest names its page.
says() {
    in_domain "$1" "$tools/xenstore-write" -- data/randomd/reseed "$2"
}

# written FRAME BEFORE: its page has another generation, and a seed.
written() {
    local now
    now=$("$page" look "$1")
    [ "${now% *}" != "${2% *}" ] && [ "${now#* }" != none ] && [ "${now#* }" != "${2#* }" ]
}

# is_state N STATE
is_state() {
    "$sim" list | awk -v id="$1" -v state="$2" '$2 == id && $0 ~ state { found = 1 } END { exit !found }'
}

epoch() {
    ask --status | tr '{' '\n' | sed -n "s/^\"domid\":$1,.*\"epoch\":\"\([0-9a-f]*\)\".*/\1/p"
}

at_start() {
    says 1 "$frame" && start_randomd && eventually written "$frame" "$zeros none"
}

# An image of guest 1 is started as N, of which the daemon learns when everything is ready; PAUSED: --paused or nothing.
restored() {
    local copy before
    before=$("$page" look "$frame")
    kill -STOP "$(daemon)"
    # shellcheck disable=SC2086 # nothing, when it is empty
    "$sim" domain create --domid "$1" --name "copy$1" $2 >/dev/null && copy=$("$page" copy "$frame" "$1") || return 1
    echo "$copy" >"$sim_work/copy.$1"
    if [ "${3-}" = param ]; then
        "$page" param "$1" "$copy" || return 1
    else
        in_domain 0 "$tools/xenstore-write" "/local/domain/$1/data/randomd/reseed" "$copy" || return 1
    fi
    [ "$("$page" look "$copy")" = "$before" ] || return 1
    kill -CONT "$(daemon)"
    eventually written "$copy" "$before" && [ "$("$page" look "$frame")" = "$before" ]
}

copies_differ() {
    local n
    n=$(for i in "$@"; do "$page" look "$(cat "$sim_work/copy.$i")"; done | tr ' ' '\n' | sort -u | wc -l)
    [ "$n" -eq $((2 * $#)) ]
}

on_request() {
    local before
    before=$("$page" look "$frame") && epoch 1 >"$sim_work/epoch" && ask --restored 1 &&
        # The answer means that it is done.
        written "$frame" "$before" && [ "$(epoch 1)" != "$(cat "$sim_work/epoch")" ]
}

checkpoint() {
    local before
    before=$("$page" look "$frame") && epoch 1 >"$sim_work/epoch" && "$sim" domain shutdown 1 suspend || return 1
    # Its image is being written: nothing may change in it.
    eventually prints 1 field guests-suspended && [ "$("$page" look "$frame")" = "$before" ] && "$sim" domain resume 1 &&
        eventually written "$frame" "$before" && [ "$(epoch 1)" != "$(cat "$sim_work/epoch")" ]
}

killed_and_restarted() {
    local before pid
    before=$("$page" look "$frame")
    pid=$(daemon)
    kill -KILL "$pid"
    eventually gone "$pid" && start_randomd && eventually written "$frame" "$before"
}

# lie VALUE: guest 2 says that; nothing is written, it is not left paused, and the daemon goes on.
lie() {
    local before refused
    before=$("$page" look "$frame"; "$page" look "$other")
    refused=$(field reseed-pages-refused)
    says 2 "$1" && ask --restored 2 >/dev/null && is_state 2 running && [ "$(field reseed-pages-refused)" -eq $((refused + 1)) ] &&
        [ "$("$page" look "$frame"; "$page" look "$other")" = "$before" ]
}

unpaused() {
    "$sim" domain unpause "$1" && is_state "$1" running
}

stopped() {
    local pid
    pid=$(daemon)
    kill -TERM "$pid" && eventually gone "$pid"
}

reseed_cases() {
    local kind=$1 before
    sim_begin
    need_store "$kind"
    "$sim" domain create --name one >/dev/null
    "$sim" domain create --name two >/dev/null
    frame=$("$page" make 1)
    other=$("$page" make 2)
    tap_ok "$kind: a page that was there before the daemon is written" at_start
    tap_ok "$kind: a restored guest's page is written, and not the first one's" restored 11 ''
    tap_ok "$kind: that of another one of the same image" restored 12 ''
    tap_ok "$kind: one that its toolstack holds paused" restored 13 --paused
    tap_ok "$kind: is still paused" is_state 13 paused
    tap_ok "$kind: and runs when the toolstack lets it" unpaused 13
    tap_ok "$kind: a restored guest that has only the parameter" restored 14 '' param
    "$sim" domain destroy 11
    tap_ok "$kind: the same image under the number of a copy that has gone" restored 11 ''
    tap_ok "$kind: no two copies got the same" copies_differ 11 12 13 14
    tap_ok "$kind: on request it is written before the answer comes, and the session renewed" on_request
    tap_ok "$kind: a guest that runs on after it was suspended is told, and its session renewed" checkpoint
    tap_ok "$kind: a daemon that comes after kill -9 writes again" killed_and_restarted
    before=$(field reseed-pages)
    for value in '' x 0 -1 ' 1' '1 ' 0x10 99999999 1099511627776 99999999999999 18446744073709551616 "$frame" 1; do
        tap_ok "$kind: a guest that says \"$value\"" lie "$value"
    done
    "$page" spoil "$other"
    tap_ok "$kind: a page without the magic" lie "$other"
    tap_ok "$kind: nothing was written for those" prints "$before" field reseed-pages
    tap_ok "$kind: the others are told as before" on_request
    tap_ok "$kind: SIGTERM ends it" stopped
    sim_end
}

for kind in xenstored oxenstored xids-xenstored; do
    reseed_cases "$kind"
done
tap_done
