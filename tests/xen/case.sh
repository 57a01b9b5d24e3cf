# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# Running one case in dom0, and what must be as before when it has ended. Sourced by lib.sh.

# The files of cases call this; here it is known already which case is wanted.
xen_case() {
    :
}

# spent: no case after this one gets this dom0. For those that do to it what nothing undoes.
spent() {
    : >/lab/spent
}

# remains: what a case could leave behind, as text that does not change while nothing is left: domains (a dead one whose
# pages are mapped still counts), dom0's event channels, its grants in use, nodes of guests in xenstore, loop devices.
remains() {
    echo "domains:"
    xl list | awk 'NR > 1 {print $1}' | sort
    echo "event channels of dom0:"
    lsevtchn 0 | sed -E 's/^ *[0-9]+: VCPU [0-9]+: //; s/, Port [0-9]+$//; s/(Physical IRQ).*/\1/' | sort | uniq -c
    echo "grants of dom0:"
    xl dmesg -c >/dev/null
    xl debug-keys g
    xl dmesg | awk '/grant-table for remote d/ {dom0 = / d0( |$)/} dom0 && /\[0x?[0-9a-f]+\]/ {n++} END {print n + 0}'
    echo "xenstore:"
    xenstore-ls -f / | sed 's/ = .*//' |
        grep -E '^/(vm|libxl)/.|^/local/domain/[1-9]|^/local/domain/0/(backend|device-model|data)/[^/]+/[0-9]|^/local/domain/0/data/.' | sort
    echo "loop devices:"
    losetup -a | sed 's/:.*//' | sort
}

# unchanged: whether there remains what there was at the first call after boot.
unchanged() {
    remains >/run/remains
    cmp -s /run/remains.first /run/remains
}

# processes: of user space, but for those that belong to the laboratory, to kept guests and to the case's caller.
processes() {
    local keep=" 1 $$ $PPID $BASHPID " pid file exe
    for file in /run/kept/*; do
        [ ! -e "$file" ] || keep+="$(cut -d' ' -f3- "$file") "
    done
    for file in /run/xenstored.pid /run/xenconsoled.pid /run/agent.pid; do
        [ ! -e "$file" ] || keep+="$(cat "$file") "
    done
    for pid in /proc/[0-9]*; do
        pid=${pid#/proc/}
        exe=$(readlink "/proc/$pid/exe") && [ -n "$exe" ] && [[ $keep != *" $pid "* ]] && echo "$pid"
    done
}

# tidy: destroys guests and ends processes that a case has left.
tidy() {
    local name domid
    while read -r name domid _; do
        [ -e "/run/kept/$name" ] || timeout 30 xl destroy "$domid" </dev/null
    done < <(xl list | tail -n +3)
    # shellcheck disable=SC2046 # a word each
    kill -KILL $(processes) 2>/dev/null
    losetup -D
}

# unkeep: ends guests that were kept for cases to come (agent.sh).
# shellcheck disable=SC2154 # lib.sh's $log
unkeep() {
    [ -d /run/kept ] || return 0
    rm -rf /run/kept
    tidy >"$log/tidy" 2>&1
    cp /run/remains.boot /run/remains.first
    wait_for 15 unchanged || { echo "kept guests left (+) or took away (-):"; diff -U 0 /run/remains.first /run/remains; return 1; }
}

# clean_logs: but those of guests that go on.
# shellcheck disable=SC2154
clean_logs() {
    local file name
    for file in "$log"/guest-*.log "$log"/*.create; do
        name=${file##*/}
        name=${name#guest-}
        [ -e "/run/kept/${name%.*}" ] || rm -f "$file"
    done
}

# case_run FILE NAME: returns the case's status (77: it cannot run here, and its last line says why).
case_run() {
    local status=0 function=case_${2//-/_}
    # shellcheck disable=SC1090
    . "/lab/tests/cases/$1" || return 1
    declare -F "$function" >/dev/null || { echo "no function $function in $1"; return 1; }
    [ -e /run/remains.first ] || remains | tee /run/remains.boot >/run/remains.first
    [ -n "${keeps_guests:-}" ] || unkeep || return 1
    clean_logs
    ("$function") || status=$?
    tidy >"$log/tidy" 2>&1
    [ $status -ne 77 ] || return 77
    wait_for 15 unchanged || { echo "left behind (+) or gone (-):"; diff -U 0 /run/remains.first /run/remains; status=1; }
    return $status
}
