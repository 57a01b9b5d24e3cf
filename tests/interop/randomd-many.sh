#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# xids-randomd on a simulated machine with two hundred guests, which come, go, are replaced, and see it killed.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

randomd=$XIDS_BUILDDIR/xids-randomd
demo=$XIDS_BUILDDIR/xids-entropy-demo
backend=/local/domain/0/backend/randomd
many=200

start_randomd() {
    "$sim" exec -- "$randomd" --foreground --config "$sim_work/conf" --control "$sim_work/control" \
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

# in_state STATE N: so many guests are in that state.
in_state() {
    [ "$(status | grep -o "\"state\":\"$1\"" | wc -l)" -eq "$2" ]
}

exists() {
    in_domain 0 "$tools/xenstore-exists" "$1"
}

gone_from_store() {
    ! exists "$1"
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

few_descriptors() {
    local fds=(/proc/"$(daemon)"/fd/*)
    [ "${#fds[@]}" -le 64 ]
}

# seeded N...: each a run of the demonstration; their fingerprints are added to the list.
seeded() {
    local domid line
    for domid in "$@"; do
        line=$(in_domain "$domid" "$demo" --pull 1000 --timeout 20) || return 1
        [[ $line =~ "seed fingerprint "([0-9a-f]{16})" grade HOST" ]] || { echo "$line"; return 1; }
        echo "${BASH_REMATCH[1]}" >>"$sim_work/fingerprints"
    done
}

all_different() {
    [ "$(wc -l <"$sim_work/fingerprints")" -eq "$1" ] && [ "$(sort -u "$sim_work/fingerprints" | wc -l)" -eq "$1" ]
}

create() {
    local i
    for ((i = 1; i <= many; i++)); do
        "$sim" domain create --domid "$i" >/dev/null || return 1
    done
}

# Half of them go and come again, with the same numbers, while the daemon does not look.
replaced() {
    local i offers
    offers=$(field offers)
    kill -STOP "$(daemon)"
    for ((i = 1; i <= many; i += 2)); do
        "$sim" domain destroy "$i" && "$sim" domain create --domid "$i" >/dev/null || return 1
    done
    kill -CONT "$(daemon)"
    eventually offers_are $((offers + many / 2)) && eventually in_state offered "$many"
}

offers_are() {
    [ "$(field offers)" -eq "$1" ]
}

# While it is down some go for good.
killed_while_some_go() {
    killed && "$sim" domain destroy 7 && "$sim" domain destroy 8 && start_randomd &&
        eventually in_state offered $((many - 2)) && eventually gone_from_store "$backend/7" &&
        gone_from_store "$backend/8"
}

many_cases() {
    local before
    sim_begin
    need_store xids-xenstored
    echo '[randomd]' >"$sim_work/conf"
    before=$(usage)
    in_domain 0 "$tools/xenstore-write" "/local/domain/0/backend/other" ""
    tap_ok "the daemon starts" start_randomd
    tap_ok "two hundred domains are created" create
    tap_ok "each gets a channel" eventually in_state offered "$many"
    tap_ok "with few descriptors" few_descriptors
    tap_ok "guests are seeded" seeded 1 2 3 100 200
    tap_ok "half of them are replaced by others with the same numbers" replaced
    tap_ok "who are seeded" seeded 1 3
    tap_ok "and those that were not" seeded 2 200
    tap_ok "killed, and started anew when some have gone" killed_while_some_go
    tap_ok "guests are seeded then" seeded 1 2 199 200
    tap_ok "no two seeds are alike" all_different 13
    tap_ok "nobody broke the protocol" prints 0 field violations
    tap_ok "no page is lost" prints 0 field pages-lost
    tap_ok "SIGTERM" stopped
    tap_ok "leaves nothing in the store" eventually gone_from_store "$backend"
    tap_ok "nor in a guest's tree" gone_from_store /local/domain/200/device/randomd
    for ((i = 1; i <= many; i++)); do
        [ "$i" -eq 7 ] || [ "$i" -eq 8 ] || "$sim" domain destroy "$i"
    done
    tap_ok "no grant, port or page is left" eventually same_usage "$before"
    sim_end
}

many_cases
tap_done
