#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# xids-sim itself: machines, domains and processes, whatever happens to them.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_begin
fresh=$(usage)

listed() {
    "$sim" list | awk -v domid="$1" '$2 == domid {print $3}'
}

ids() {
    "$sim" list | awk 'NR > 1 {print $2}' | tr '\n' ' '
}

daemon_pid() {
    counter daemon_pid
}

stopped() {
    grep -q '^State:.*T' "/proc/$1/status"
}

running() {
    grep -q '^State:.*[SR]' "/proc/$1/status"
}

# sleeper N: a process of that domain that does nothing; sets $sleeper.
sleeper() {
    "$sim" exec --domain "$1" -- sleep 300 </dev/null >/dev/null 2>&1 &
    sleeper=$!
    disown "$sleeper"
    eventually known_process
}

known_process() {
    [ "$(counter processes)" -ge 1 ]
}

pausing() {
    sleeper 1 && "$sim" domain pause 1 && prints paused listed 1 && eventually stopped "$sleeper" &&
        "$sim" domain unpause 1 && prints running listed 1 && eventually running "$sleeper"
}

destroying() {
    sleeper 1 && "$sim" domain destroy 1 && eventually gone "$sleeper"
}

# What a program has not got it does not get: least of all the machine's memory, as the first file that was free.
without_output() {
    (fails "$sim" exec -- sh -c 'exec 2>/dev/null; echo lost' </dev/null >&-)
}

# A process that is started in a paused domain waits.
starting_paused() {
    "$sim" domain create --domid 9 --paused >/dev/null
    "$sim" exec --domain 9 -- touch "$sim_work/touched" </dev/null &
    local toucher=$!
    eventually stopped "$toucher" && [ ! -e "$sim_work/touched" ] && "$sim" domain unpause 9 && wait "$toucher" &&
        [ -e "$sim_work/touched" ] && "$sim" domain destroy 9
}

second_machine() {
    "$sim" --dir "$sim_work/other" up && "$sim" --dir "$sim_work/other" domain create --domid 77 >/dev/null &&
        prints "" listed 77 && "$sim" --dir "$sim_work/other" down && [ ! -e "$sim_work/other" ]
}

killed_daemon() {
    kill -9 "$(daemon_pid)" && eventually fails "$sim" status && "$sim" up && prints "0 " ids
}

signalled_daemon() {
    local pid
    pid=$(daemon_pid)
    sleeper 0
    kill -TERM "$pid" && eventually gone "$pid" && [ ! -e "$XIDS_SIM_DIR" ] && eventually gone "$sleeper"
}

vanished_folder() {
    "$sim" up || return 1
    local pid
    pid=$(daemon_pid)
    rm -rf "$XIDS_SIM_DIR"
    eventually gone "$pid"
}

foreground() {
    "$sim" up --foreground >"$sim_work/foreground" 2>&1 &
    local pid=$!
    eventually "$sim" status && kill -INT "$pid" && wait "$pid" && [ ! -e "$XIDS_SIM_DIR" ]
}

not_a_machine() {
    mkdir "$sim_work/mine" && touch "$sim_work/mine/precious" && fails "$sim" --dir "$sim_work/mine" up &&
        [ -e "$sim_work/mine/precious" ]
}

tap_ok "a new machine has domain 0 alone" prints "0 " ids
tap_ok "a second up in the same place is refused" fails "$sim" up
tap_ok "a folder with something else in it is not touched" not_a_machine
tap_ok "two machines know nothing of each other" second_machine
tap_ok "a domain gets the lowest domid that was never used" prints 1 "$sim" domain create
tap_ok "a domid that is taken is refused" fails "$sim" domain create --domid 1
tap_ok "a domid of Xen's own is refused" fails "$sim" domain create --domid 32752
tap_ok "domain 0 cannot be destroyed" fails "$sim" domain destroy 0
tap_ok "a domain that is not there cannot be destroyed" fails "$sim" domain destroy 99
tap_ok "a program cannot run in a domain that is not there" fails "$sim" exec --domain 99 -- true
tap_ok "a program that is not there is reported" sh -c "$sim exec -- /nonexistent/program 2>/dev/null; [ \$? -eq 127 ]"
tap_ok "a program's exit status is handed on" sh -c "$sim exec -- sh -c 'exit 42'; [ \$? -eq 42 ]"
tap_ok "a program is told its domain" prints 1 "$sim" exec --domain 1 -- printenv XIDS_SIM_DOMID
tap_ok "a program without a standard output has none" without_output
tap_ok "pausing a domain stops its processes, unpausing lets them go on" pausing
tap_ok "destroying a domain kills its processes" destroying
tap_ok "a process started in a paused domain waits" starting_paused
"$sim" domain create --domid 5 --name five >/dev/null
tap_ok "shutting down is shown with its reason" sh -c "$sim domain shutdown 5 crash && $sim list | grep -q '^five .* crash '"
tap_ok "the list is there as JSON" sh -c "$sim list --json | grep -q '\"name\":\"five\"'"
tap_ok "the status is there as JSON" sh -c "$sim status --json | grep -q '\"inconsistency\":null'"
"$sim" domain destroy 5
tap_ok "when all is destroyed nothing is in use" eventually same_usage "$fresh"
tap_ok "unknown commands are refused" sh -c "$sim frobnicate 2>/dev/null; [ \$? -eq 2 ]"
tap_ok "after its daemon was killed a machine can be started anew" killed_daemon
tap_ok "a daemon that gets SIGTERM ends its processes and cleans up" signalled_daemon
tap_ok "a daemon whose folder vanishes ends" vanished_folder
tap_ok "in the foreground SIGINT ends it cleanly" foreground
tap_done
