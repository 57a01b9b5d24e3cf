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

# another_store OPTION...: stops xids-xenstored and starts it again with these, and Xen's daemons after it.
another_store() {
    local pid
    spent
    pid=$(</run/xenstored.pid)
    kill "$pid" && wait_for 20 ended "$pid" || return 1
    pid=$(</run/xenconsoled.pid)
    kill "$pid" && wait_for 20 ended "$pid" || return 1
    xenstored_start xids "$@" && xen-init-dom0 && xenconsoled_start
}

# A Linux guest that is at the store, and then waits for its end.
# shellcheck disable=SC2016 # the guest expands it
user_script='
echo "/usr/bin/busybox poweroff -f" >/proc/sys/kernel/poweroff_cmd
me=$(xenstore-read domid)
xenstore-watch -n 2 data/used >/run/events &
until [ -s /run/events ]; do sleep 0.1; done
xenstore-write data/used yes && wait $! && xenstore-chmod data/used "n$me" r0 && [ "$(xenstore-read data/used)" = yes ] &&
    xenstore-rm data/used && ! xenstore-exists data/used && ! xenstore-write /tool/used no 2>/run/error && echo "store used"
read -r < <(sleep 1000)'

xen_case store-sandbox all 150 xids "xids-xenstored in its tightest sandbox traces a guest's whole life, and the trace replays"
case_store_sandbox() {
    local pid status trace=/run/trace
    another_store --no-live-update -T $trace || return 1
    pid=$(</run/xenstored.pid)
    status=$(xids-xenstored --status) && echo "$status" && grep -q '"sandbox": *true' <<<"$status" || return 1
    grep -q '^Seccomp:[[:space:]]*2$' "/proc/$pid/status" || return 1
    dmesg -c >/dev/null
    # Which needs what it has given up.
    ! xenstore-control live-update "$(command -v xids-xenstored)" || return 1
    guest_linux user pv "$user_script" && wait_console user 60 'store used' || return 1
    xl shutdown -w user && wait_for 30 guest_gone user || return 1
    # shellcheck disable=SC2154 # lib.sh's
    cat "$log/xenstored"
    ! grep -Ei 'EPERM|not permitted|error' "$log/xenstored" || return 1
    # What the kernel says of a call that is not allowed.
    ! dmesg | grep -E "type=1326.* pid=$pid " || return 1
    xids-xenstored --replay $trace && rm -f $trace
}

# replays TRACE REGEXP: to the same answers, but for requests that begin so.
replays() {
    local status=0
    xids-xenstored --replay "$1" >"$log/replay" || status=$?
    cat "$log/replay"
    [ $status -le 1 ] && ! grep ' asked ' "$log/replay" | grep -Ev " asked $2"
}

# shows WHAT REGEXP: whether a line of what xenstore-control says to WHAT is that.
shows() {
    # shellcheck disable=SC2086 # words of a command
    xenstore-control $1 | tee "$log/control" | grep -Eq "^$2\$" || { echo "$1:"; cat "$log/control"; return 1; }
}

xen_case store-control all 120 xids "xenstore-control: quotas for all and what a guest uses of them, memory, and a trace that ends and begins"
case_store_control() {
    local domid trace=/run/trace
    another_store -T $trace || return 1
    guest_linux user pv "$user_script" && wait_console user 60 'store used' && domid=$(xl domid user) || return 1
    shows quota 'nodes *: +1000 .*' && xenstore-control quota set nodes 900 && shows quota 'nodes *: +900 .*' || return 1
    shows quota-soft 'memory *: +2097152 .*' && xenstore-control quota-soft set memory 2000000 &&
        shows quota-soft 'memory *: +2000000 .*' || return 1
    # It has nodes of its own, and its kernel watches.
    shows "quota $domid" "Domain $domid:" && shows "quota $domid" 'nodes *: +[1-9][0-9]* .*' &&
        shows "quota $domid" 'watches *: +[1-9][0-9]* .*' && shows 'quota max' 'nodes *: +[1-9][0-9]*' || return 1
    shows memreport 'nodes *: +[1-9].*' || return 1
    xenstore-control check && xenstore-control log && xenstore-control log off && xenstore-write /tool/lab untold &&
        xenstore-control log on && xenstore-write /tool/lab told && xenstore-rm /tool/lab || return 1
    xids-xenstored --replay $trace --print >/run/trace.text && grep -q 'told' /run/trace.text && ! grep -q untold /run/trace.text || return 1
    replays $trace.old 'CONTROL "quota' || return 1
    xl shutdown -w user && wait_for 30 guest_gone user || return 1
    rm -f $trace $trace.old
    ! xenstore-control quota "$domid"
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

xen_case live-update-from-c all 180 C "xids-xenstored takes the place of C xenstored under a guest, whose watch fires; xl shutdown works, and new guests start"
case_live_update_from_c() {
    local pid program domid
    spent
    program=$(command -v xids-xenstored) && pid=$(</run/xenstored.pid) && waiting_guest && domid=$(xl domid life) || return 1
    timeout 60 xenstore-control live-update -c '--foreground --pid-file /run/xenstored.pid' "$program" || return 1
    [ "$(readlink "/proc/$pid/exe")" = "$program" ] && xids-xenstored --status || return 1
    xenstore-write "/local/domain/$domid/control/shutdown" 'dance now' || return 1
    wait_console life 30 'says "dance.now"' || return 1
    xl shutdown -w life </dev/null && console_has life 'bye: poweroff' && wait_for 20 guest_gone life || return 1
    XENSTORED_PATH=/dev/xen/xenbus timeout 30 xenstore-read /local/domain/0/name || return 1
    rm -f "$log/guest-life.log"
    waiting_guest && xl destroy life
}

xen_case store-journal all 180 xids "xids-xenstored with a journal is killed under a guest: the next one has the store, its watch fires, and xl shutdown works"
case_store_journal() {
    local pid domid journal=/run/xenstored.journal
    another_store --journal $journal && waiting_guest && domid=$(xl domid life) || return 1
    xenstore-write /tool/lab kept || return 1
    pid=$(</run/xenstored.pid)
    kill -KILL "$pid" && wait_for 20 ended "$pid" || return 1
    pid=$(</run/xenconsoled.pid)
    kill "$pid" && wait_for 20 ended "$pid" || return 1
    xenstored_start xids --journal $journal && xenconsoled_start || return 1
    [ "$(xenstore-read /tool/lab "/local/domain/$domid/name")" = $'kept\nlife' ] && xenstore-rm /tool/lab || return 1
    xenstore-write "/local/domain/$domid/control/shutdown" 'dance now' || return 1
    wait_console life 30 'says "dance.now"' || return 1
    XENSTORED_PATH=/dev/xen/xenbus timeout 30 xenstore-read /local/domain/0/name || return 1
    # The xl that would clear up after the guest has lost its connection.
    timeout 60 xl shutdown -w life </dev/null && wait_console life 20 'bye: poweroff' || return 1
    guest_gone life || timeout 60 xl destroy life || return 1
    rm -f "$log/guest-life.log" $journal
    waiting_guest && xl destroy life
}
