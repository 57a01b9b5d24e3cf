# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# Ends of vchans die in the middle: a process, a kernel, a whole domain. Whoever is at the other end learns it in time,
# and nothing stays behind.

# shellcheck disable=SC2034,SC2154 # case_run's; lib.sh's $log
keeps_guests=1

# endless ID PLACE NAME COMMAND: COMMAND, one end of a channel, sends without end; what comes is thrown away, but its
# beginning is in /run/NAME. Its process is in /run/NAME.pid.
endless() {
    agent_start "$1" "$2" "set -o pipefail; : >/run/$3; (echo \$BASHPID >/run/$3.pid; exec $4) </dev/zero | { head -c 200000 >/run/$3; cat >/dev/null; }"
}

# flows PLACE NAME: waits until much more than a ring's worth has come there.
flows() {
    wait_for 60 at "$1" 10 "test \$(stat -c %s /run/$2) -eq 200000"
}

# learns ID PLACE: that end has come to an end by itself, and says that the channel broke.
learns() {
    local text status=0
    text=$(agent_end "$1" "$2" 30) || status=$?
    echo "in $2: status $status, $text"
    [ $status -eq 1 ] && [[ $text == *"xids-vchan: "* ]]
}

# echo_guest NAME OPTIONS: the unikernel vchan-echo. Prints its domid.
echo_guest() {
    guest_config "$1" pvh "$guests/vchan-echo" "" 'memory = 32' "extra = \"$2\"" && guest_create "$1"
}

# destroyed_under PLACE: that is connected to two unikernels, to one as client and to one as server.
destroyed_under() {
    local server client self connector listener
    self=$(agent_domid "$1")
    server=$(echo_guest server "peer=$self") && client=$(echo_guest client "mode=connect peer=$self") &&
        endless connector "$1" connector "xids-vchan -k connect $server echo" &&
        endless listener "$1" listener "xids-vchan -k listen $client echo" &&
        flows "$1" connector && flows "$1" listener || return 1
    xl destroy server && xl destroy client && learns "$connector" "$1" && learns "$listener" "$1"
}

xen_case death-destroy quick 60 xids,C,oxenstored "xl destroy in the middle of two transfers: dom0's ends learn it, and all is given back"
case_death_destroy() {
    destroyed_under dom0
}

xen_case death-destroy-guest all 120 xids "xl destroy in the middle of two transfers: the ends in a Linux guest, which may not ask Xen, learn it"
case_death_destroy_guest() {
    agent_guest one pvh && destroyed_under one
}

xen_case death-crash all 120 xids "a Linux guest's kernel crashes in the middle of two transfers: dom0's ends learn it"
case_death_crash() {
    local guest connector listener
    guest=$(guest_linux victim pv '
        xids-vchan listen 0 one </dev/zero >/dev/null &
        xids-vchan connect 0 two </dev/zero >/dev/null &
        read -r line
        echo c >/proc/sysrq-trigger') || return 1
    endless connector dom0 connector "xids-vchan -k connect $guest one" &&
        endless listener dom0 listener "xids-vchan -k listen $guest two" && flows dom0 connector && flows dom0 listener || return 1
    echo >"$(xenstore-read "/local/domain/$guest/console/tty")"
    learns "$connector" dom0 && learns "$listener" dom0 && wait_for 20 guest_gone victim && console_has victim 'sysrq'
}

# killed LISTENER CONNECTOR listener|connector: which end dies by kill -9.
killed() {
    local listener connector path
    path=/local/domain/$(agent_domid "$1")/data/killed
    endless listener "$1" listener "xids-vchan -k listen $(agent_domid "$2") $path" &&
        endless connector "$2" connector "xids-vchan -k connect $(agent_domid "$1") $path" &&
        flows "$1" listener && flows "$2" connector || return 1
    # shellcheck disable=SC2016 # the place expands it
    if [ "$3" = listener ]; then
        at "$1" 10 'kill -KILL $(cat /run/listener.pid)' && agent_end "$listener" "$1" 30
        [ $? -eq 137 ] && learns "$connector" "$2"
    else
        at "$2" 10 'kill -KILL $(cat /run/connector.pid)' && agent_end "$connector" "$2" 30
        [ $? -eq 137 ] && learns "$listener" "$1"
    fi || return 1
    ! xenstore-exists "$path" || xenstore-rm "$path"
}

xen_case death-process all 180 xids "kill -9 of either end, in dom0 and in a guest, as server and as client: the other learns it"
case_death_process() {
    agent_guest one pvh && killed dom0 one listener && killed dom0 one connector && killed one dom0 listener &&
        killed one dom0 connector
}
