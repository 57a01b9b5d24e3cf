# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# xids-xenstored in the place of another one; and its end, when it keeps nothing: guests live on without their store, and
# Xen's daemons have to be started anew. dom0's kernel has its ring again but not its watches.

# without_store SIGNAL: the daemon ends while a guest runs, which counts on; after a new one the guest can be
# destroyed, and dom0's kernel has its store again.
without_store() {
    local pid domid was
    spent
    # shellcheck disable=SC2016 # the guest expands it
    guest_linux orphan pv 'exec {never}<> <(:); while n=$((n + 1)); do echo "count $n"; read -r -t 0.5 -u $never; done' &&
        wait_console orphan 60 'count 2' && domid=$(xl domid orphan) || return 1
    pid=$(</run/xenstored.pid)
    kill "-$1" "$pid"
    wait_for 20 ended "$pid" || return 1
    [ "$1" = KILL ] || [ ! -e /run/xenstored/socket ] || { echo "it left its socket"; return 1; }
    # shellcheck disable=SC2154 # lib.sh's
    was=$(grep -c '^count' "$log/guest-orphan.log")
    wait_for 30 counted orphan $((was + 3)) || return 1
    # xenconsoled would not hear of the guest's end, and keep its console mapped.
    pid=$(</run/xenconsoled.pid)
    kill "$pid" && wait_for 20 ended "$pid" || return 1
    xenstored_start xids && xen-init-dom0 && xenconsoled_start || return 1
    XENSTORED_PATH=/dev/xen/xenbus timeout 30 xenstore-read /local/domain/0/name || return 1
    timeout 60 xl destroy "$domid" || return 1
    timeout 30 xl list
}

ended() {
    ! kill -0 "$1"
}

counted() {
    [ "$(grep -c '^count' "$log/guest-$1.log")" -ge "$2" ]
}

xen_case store-stops all 90 xids "a guest lives on when xids-xenstored stops; a new one serves dom0's kernel"
case_store_stops() {
    without_store TERM
}

xen_case store-killed all 90 xids "a guest lives on when xids-xenstored is killed; a new one serves dom0's kernel"
case_store_killed() {
    without_store KILL
}

# A unikernel that waits for what xl tells it by xenstore.
waiting_guest() {
    # shellcheck disable=SC2154 # lib.sh's
    guest_config life pvh "$guests/life" "" 'memory = 32' && guest_create life && wait_console life 60 "works 1 as"
}

xen_case live-update all 180 xids "xids-xenstored is updated under a guest, whose watch fires; xl shutdown works, and new guests start"
case_live_update() {
    local pid program domid i
    program=$(command -v xids-xenstored) && pid=$(</run/xenstored.pid) && waiting_guest && domid=$(xl domid life) || return 1
    for i in 1 2 3; do
        timeout 60 xenstore-control live-update "$program" || { cat "$log/xenstored"; return 1; }
        [ "$(grep -c 'live update: becoming' "$log/xenstored")" = "$i" ] && kill -0 "$pid" || return 1
    done
    # The guest's watch, then dom0's own: xl waits for one, and xenconsoled finds the next guest's console by another.
    xenstore-write "/local/domain/$domid/control/shutdown" 'dance now' || return 1
    wait_console life 30 'says "dance.now"' || return 1
    xl shutdown -w life </dev/null && console_has life 'bye: poweroff' && wait_for 20 guest_gone life || return 1
    XENSTORED_PATH=/dev/xen/xenbus timeout 30 xenstore-read /local/domain/0/name || return 1
    rm -f "$log/guest-life.log"
    waiting_guest && xl destroy life
}
