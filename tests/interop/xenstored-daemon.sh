#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# What makes xids-xenstored a daemon that can be lived with: its trace and the replay of it, its sandbox,
# what it does with many clients, and how it is started. Clients are Debian's
# unmodified tools. Speaks TAP.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian
daemon=$XIDS_BUILDDIR/xids-xenstored
work=$(mktemp -d)
# shellcheck disable=SC2317 # called by the trap
leave() {
    [ ! -s "$work/pid" ] || kill "$(cat "$work/pid")" 2>/dev/null
    [ -z "${sim_work:-}" ] || sim_end
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 130' HUP INT TERM
export XENSTORED_PATH=$work/run/socket
trace=$work/trace

# In the foreground, so that its log is ours; returns when it serves.
start() {
    rm -f "$work/pid"
    "$daemon" -D -N -F "$work/pid" "$@" </dev/null >"$work/log" 2>&1 &
    if ! eventually test -s "$work/pid" || ! eventually contains "$work/log" serving; then
        cat "$work/log"
        return 1
    fi
}

# stop [SIGNAL]
stop() {
    local pid
    pid=$(cat "$work/pid")
    kill "-${1:-TERM}" "$pid" && eventually gone "$pid"
}

write() {
    "$tools/xenstore-write" "$@" </dev/null
}

control() {
    "$xen_bin/xenstore-control" "$@" </dev/null
}

# exits STATUS COMMAND...
exits() {
    local want=$1 got=0
    shift
    "$@" </dev/null || got=$?
    [ "$got" -eq "$want" ] || { echo "exit status $got"; return 1; }
}

# says TEXT COMMAND...: prints it, among other things.
says() {
    local text=$1
    shift
    "$@" </dev/null >"$work/said" 2>&1
    contains "$work/said" "$text"
}

# ---- the trace ----

# replays DIFFER FILE: what the replay counts.
replays() {
    local status=0
    "$daemon" --replay "$2" </dev/null >"$work/said" 2>&1 || status=$?
    contains "$work/said" " $1 differ" && [ "$status" -eq $((${1} > 0)) ]
}
shows() {
    says "$1" "$daemon" --replay "$2" --print
}
# doctor FILE: makes the last answer of a READ another one.
doctor() {
    local at
    at=$(grep -abo the-value "$1" | tail -n 1)
    printf 'a' | dd of="$1" bs=1 seek="${at%%:*}" conv=notrunc 2>/dev/null
}
untouched() {
    local before
    before=$(sha256sum "$1") && write /not/traced 1 && prints "$before" sha256sum "$1"
}

tap_ok "it starts with a trace" start -T "$trace" --trace-size 1
tap_ok "which is for its owner alone" prints 600 stat -c %a "$trace"
tap_ok "and of the size asked for" prints 1048576 stat -c %s "$trace"
tap_ok "test-xenstore passes under it" "$xen_bin/test-xenstore"
tap_ok "a value is written" write /traced the-value
tap_ok "and read" prints the-value "$tools/xenstore-read" /traced
tap_ok "the trace shows the request" shows 'WRITE "/traced\0the-value"' "$trace"
tap_ok "and the answer" shows 'answer 0 READ "the-value"' "$trace"
tap_ok "the daemon tells of itself" control help
tap_ok "and of its memory" control memreport
tap_ok "also in a file" control memreport "$work/memory"
tap_ok "it can be replayed while the daemon writes to it" replays 0 "$trace"
tap_ok "a daemon that is killed leaves it whole" stop KILL
tap_ok "so that it can be replayed" replays 0 "$trace"
tap_ok "the next daemon begins another" start -T "$trace" --trace-size 1
tap_ok "and keeps the last one's" replays 0 "$trace.old"
tap_ok "the last request of the killed daemon is in there" shows 'READ "/traced\0"' "$trace.old"
doctor "$trace.old"
tap_ok "an answer that was another one is found" replays 1 "$trace.old"
tap_ok "and shown" says 'traced:   READ "ahe-value"' "$daemon" --replay "$trace.old"
head -c 100000 "$trace" >"$work/cut"
tap_ok "a trace that is cut off is refused" exits 2 "$daemon" --replay "$work/cut"
tap_ok "so is something else" exits 2 "$daemon" --replay "$daemon"
tap_ok "so is nothing" exits 2 "$daemon" --replay "$work/none"
tap_ok "log shows the switches" says "io      : on" control log
tap_ok "log off ends the trace" control log off
tap_ok "nothing is written any more" untouched "$trace"
tap_ok "logfile begins it in another file" control logfile "$work/second"
write /second 1
tap_ok "which gets what follows" shows '"/second\0' "$work/second"
tap_ok "and says that its beginning is missing" says "does not begin with the server" "$daemon" --replay "$work/second"
tap_ok "a switch can be changed" control log -io
write /not/told 1
tap_ok "without io there are no messages" fails grep -qF /not/told "$work/second"
tap_ok "a switch that there is not is refused" fails control log +nonsense
tap_ok "a trace where none can be is refused" fails control logfile "$work/none/trace"
tap_ok "the daemon ends" stop
tap_ok "it serves without a trace when there is something else of its name" start -T "$work"
tap_ok "and says so" contains "$work/log" "no trace in $work"
tap_ok "this one ends too" stop

# ---- the sandbox ----

# holds FIELD VALUE: of the daemon's /proc/PID/status.
holds() {
    prints "$2" sed -n "s/^$1:[[:space:]]*//p" "/proc/$(cat "$work/pid")/status"
}
if "$XIDS_BUILDDIR/config.status" --config | grep -q with-sanitizer=; then
    tap_skip "the sandbox" "a build with a sanitizer has none"
else
    tap_ok "it starts in its sandbox" start --no-live-update
    tap_ok "which filters its system calls" eventually holds Seccomp 2
    tap_ok "for good" holds NoNewPrivs 1
    if [ "$(id -u)" -eq 0 ]; then
        tap_ok "of root's capabilities it keeps the one to lock memory" holds CapEff 0000000000004000
        tap_ok "and can get no other" holds CapBnd 0000000000004000
    else
        tap_skip "capabilities" "not root"
    fi
    tap_ok "test-xenstore passes in it" "$xen_bin/test-xenstore"
    tap_ok "files cannot be made" fails control logfile "$work/third"
    tap_ok "which the log says" contains "$work/log" "the sandbox lets us make files only"
    tap_ok "the daemon ends cleanly in it" stop
    tap_ok "and leaves no socket, pid or control file" prints "" find "$work" \( -type s -o -name pid \)
    tap_ok "without a sandbox" start --no-sandbox
    tap_ok "nothing is filtered" holds Seccomp 0
    tap_ok "and a trace can be begun any time" control logfile "$work/third"
    tap_ok "it ends too" stop
fi

# ---- another program in its place ----

# Not libtool's script, which is there before the program is installed.
program=$XIDS_BUILDDIR/.libs/xids-xenstored
[ -x "$program" ] || program=$daemon
# becomes ARGUMENTS: goes on as the same program with other arguments.
becomes() {
    LD_LIBRARY_PATH=$XIDS_BUILDDIR/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} control live-update -c "$1" "$program" &&
        prints 1 "$tools/xenstore-read" /kept
}
refuses() {
    ! becomes "$1" >"$work/said" 2>&1 && contains "$work/said" "$2" && prints 1 "$tools/xenstore-read" /kept
}
LD_LIBRARY_PATH=$XIDS_BUILDDIR/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} tap_ok "it starts, to be updated" start
write /kept 1
tap_ok "a program that would look for domains is refused" refuses "-N" "without domains"
tap_ok "one with arguments that there are not is refused" refuses "-N -D --nonsense" ""
tap_ok "the store stays when the program's pid file cannot be made" becomes "-D -N -F $work/none/pid"
tap_ok "nor its control socket" becomes "-D -N --control /proc/none/control"
tap_ok "nor its trace" becomes "-D -N -T $work/none/trace"
tap_ok "it ends after that" stop
# A signal comes before the other program is there to hear it, or after.
ends_while_it_is_updated() {
    local i status=0
    export LD_LIBRARY_PATH=$XIDS_BUILDDIR/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    for ((i = 0; i < 10; i++)); do
        start || return 1
        control live-update "$program" >"$work/said" 2>&1 &
        local updater=$!
        ((i % 2 == 0)) || eventually contains "$work/log" becoming || status=1
        stop || status=1
        wait "$updater"
    done
    return "$status"
}
tap_ok "it ends in the middle of an update" ends_while_it_is_updated

# ---- the control socket ----

# number NAME FILE: the first number of that name in JSON.
number() {
    sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$2"
}
# shellcheck disable=SC2317 # called through tap_ok
counts() {
    local before
    "$daemon" --status </dev/null >"$work/status" || return
    before=$(number requests "$work/status")
    write /counted 1 && "$daemon" --status </dev/null >"$work/status" &&
        prints $((before + 1)) number requests "$work/status"
}
# shellcheck disable=SC2317
at_a_hangup() {
    rm -f "$trace.old"
    kill -HUP "$(cat "$work/pid")" && eventually test -s "$trace.old" && write /after/hangup 1 &&
        shows '"/after/hangup\0' "$trace" && fails shows '"/after/hangup\0' "$trace.old"
}
tap_ok "it starts with a control socket beside its socket" start -T "$trace"
tap_ok "which is for its owner alone" prints 600 stat -c %a "$work/run/xids-xenstored.sock"
tap_ok "the status is JSON, with what is counted" counts
tap_ok "and the sandbox and the trace" contains "$work/status" '"trace":true'
tap_ok "without a machine there are no domains" prints '[]' "$daemon" --domains
tap_ok "at SIGHUP the trace begins anew" at_a_hangup
tap_ok "a daemon that ends" stop
tap_ok "leaves no control socket" fails test -e "$work/run/xids-xenstored.sock"
tap_ok "and cannot be asked" exits 1 "$daemon" --status

# ---- many clients ----

crowd=$XIDS_BUILDDIR/tests/interop/crowd
# calm: it sleeps, each of the times that we look.
calm() {
    local i
    for ((i = 0; i < 20; i++)); do
        grep -q '^State:.S' "/proc/$(cat "$work/pid")/status" || return 1
    done
}
# More clients than descriptors: the last ones wait, and are served when others go.
# shellcheck disable=SC2317 # called through tap_ok
more_than_descriptors() {
    local status=0
    rm -f "$work/go" && mkfifo "$work/go"
    "$crowd" 100 80 <"$work/go" >"$work/crowd" 2>&1 &
    local crowd_pid=$!
    exec 8>"$work/go"
    eventually contains "$work/crowd" waiting && eventually contains "$work/log" "no more connections for now" &&
        eventually calm || status=1
    echo >&8
    exec 8>&-
    wait "$crowd_pid" || status=1
    [ "$(grep -c "no more connections" "$work/log")" -le 20 ] || status=1
    return "$status"
}
# shellcheck disable=SC2317
with_descriptors() {
    local most=$1
    shift
    (ulimit -n "$most" && start "$@")
}
# The second of two must not take anything from the first.
# shellcheck disable=SC2317
started_twice() {
    local pid
    pid=$(cat "$work/pid")
    exits 1 "$daemon" -D -N -F "$work/pid" && prints "$pid" cat "$work/pid" && write /still/there 1
}
# Ten at once: one serves, nine say why not.
# shellcheck disable=SC2317
race() {
    local i pids=() failed=0
    for i in 1 2 3 4 5 6 7 8 9 10; do
        "$daemon" -D -N -F "$work/pid.$i" </dev/null >"$work/race.$i" 2>&1 &
        pids+=($!)
    done
    others_have_ended() {
        local alive=0 p
        for p in "${pids[@]}"; do
            gone "$p" || alive=$((alive + 1))
        done
        [ "$alive" -eq 1 ]
    }
    eventually others_have_ended || failed=1
    prints 9 sh -c "cat '$work'/race.* | grep -c 'another xenstored is answering'" || failed=1
    prints 1 sh -c "ls '$work'/pid.* | wc -l" || failed=1
    write /race/won 1 || failed=1
    kill "${pids[@]}" 2>/dev/null
    wait
    return "$failed"
}
tap_ok "it starts with few descriptors" with_descriptors 64
tap_ok "clients beyond them wait, without keeping it busy, and are served when others go" more_than_descriptors
tap_ok "a second daemon changes nothing of the first" started_twice
tap_ok "it ends" stop
tap_ok "of ten that start at once one serves" race
if [ "$(ulimit -H -n)" = unlimited ] || [ "$(ulimit -H -n)" -ge 10100 ]; then
    tap_ok "it starts with many" start
    tap_ok "ten thousand clients are served" "$crowd" 10000
    tap_ok "it ends with them gone" stop
else
    tap_skip "ten thousand clients" "the limit of descriptors is $(ulimit -H -n)"
fi

# ---- a service manager ----

# As systemd does: the socket is there before the daemon, and stays after it.
# shellcheck disable=SC2317
handed_over() {
    "$XIDS_BUILDDIR/tests/interop/hand_over" "$work/handed" "$daemon" -D -N -F "$work/pid" </dev/null >"$work/log" 2>&1 &
    local pid=$!
    XENSTORED_PATH=$work/handed eventually write /handed/over 1 || { cat "$work/log"; return 1; }
    prints "$pid" cat "$work/pid" && kill -HUP "$pid" && eventually contains "$work/handed.said" RELOADING=1 &&
        stop TERM && wait "$pid" && [ -S "$work/handed" ] && [ ! -e "$XENSTORED_PATH" ]
}
tap_ok "it serves a socket that was opened for it, and leaves it there" handed_over
tap_ok "it tells its manager what it does" eventually prints "$(printf 'READY=1\nRELOADING=1\nREADY=1\nSTOPPING=1')" \
    sed '/^MONOTONIC_USEC=[0-9]*$/d' "$work/handed.said"

# A machine with guests that come, ask, and die, under a daemon that traces from its start.
unset XENSTORED_PATH
sim_begin
trap leave EXIT
# shellcheck disable=SC2317
guests() {
    local i
    for i in 1 2 3; do
        "$sim" domain create --domid "$i" --name "guest$i" && in_domain "$i" "$tools/xenstore-write" data/a "$i" || return 1
    done
    in_domain 1 "$tools/xenstore-ls" /local/domain/1 && fails in_domain 2 "$tools/xenstore-read" /local/domain/1/data/a &&
        in_domain 0 "$tools/xenstore-chmod" /local/domain/1/data n1 r2 r77 && "$sim" domain destroy 2 &&
        eventually fails in_domain 0 "$tools/xenstore-exists" /local/domain/2/data/a && "$sim" domain create --domid 2 &&
        in_domain 2 "$tools/xenstore-read" domid && "$sim" domain shutdown 3 && in_domain 0 "$xen_bin/test-xenstore"
}
tap_ok "it serves a machine with a trace" start_store xids-xenstored -T "$work/machine"
tap_ok "guests come, ask and die" guests
domains() {
    in_domain 0 "$daemon" --domains >"$work/domains" && contains "$work/domains" '"domid":1,"broken":false,"shutdown":false' &&
        contains "$work/domains" '"domid":3,"broken":false,"shutdown":true'
}
tap_ok "what they do is told" domains
tap_ok "the trace shows a guest's request" shows ' domain 1 request' "$work/machine"
tap_ok "and its death" shows ' domain 2 death' "$work/machine"
tap_ok "the replay gives everybody the same answers" replays 0 "$work/machine"
tap_done
