# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# For tests on the simulator: source it after tap.sh. It starts a machine in a folder of its own (sim_begin), and ends
# it with all that ran in it when the test ends, however it ends.

sim=$XIDS_BUILDDIR/xids-sim

# sim_skip_all REASON
sim_skip_all() {
    printf '1..0 # SKIP %s\n' "$1"
    exit 0
}

# Debian's programs: $debian is where they lie, $xen_bin and $tools the folders that matter.
sim_need_debian() {
    debian=$("$XIDS_SRCDIR/tests/interop/debian-xen.sh" 2>/dev/null) || sim_skip_all "Debian's Xen programs cannot be had"
    xen_bin=$(echo "$debian"/usr/lib/xen-*/bin)
    # shellcheck disable=SC2034 # used by the tests
    tools=$debian/usr/bin
    [ -x "$xen_bin/xenstored" ] || sim_skip_all "Debian's Xen programs cannot be had"
}

# shellcheck disable=SC2317 # called by the trap
sim_end() {
    "$sim" down >/dev/null 2>&1
    rm -rf "$sim_work"
}

sim_begin() {
    sim_work=$(mktemp -d "${TMPDIR:-/tmp}/xids-sim.XXXXXX")
    export XIDS_SIM_DIR=$sim_work/machine
    trap sim_end EXIT
    trap 'exit 1' HUP INT TERM
    "$sim" up || exit 1
}

# eventually COMMAND...: tries for ten seconds until it succeeds. The time is a limit for machines that are slow.
eventually() {
    local i
    for ((i = 0; i < 200; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    "$@"
}

# in_domain N COMMAND...: as a program of that domain, with a limit against hanging.
in_domain() {
    local domid=$1
    shift
    timeout -k 5 60 "$sim" exec --domain "$domid" -- "$@" </dev/null
}

# prints EXPECTED COMMAND...: succeeds when that is all it prints.
prints() {
    local expected=$1 got
    shift
    got=$("$@") || { echo "status $?, printed: $got"; return 1; }
    [ "$got" = "$expected" ] || { printf 'printed: %s\nexpected: %s\n' "$got" "$expected"; return 1; }
}

# fails COMMAND...: succeeds when it fails of itself (not by a signal or the limit of time).
fails() {
    local status=0
    "$@" || status=$?
    [ "$status" -ge 1 ] && [ "$status" -lt 124 ]
}

# contains FILE TEXT
contains() {
    grep -qF -- "$2" "$1" || { cat "$1"; return 1; }
}

# counter NAME: of `xids-sim status`.
counter() {
    "$sim" status | awk -v name="$1" '$1 == name {print $2}'
}

counter_is() {
    local got
    got=$(counter "$1")
    [ "$got" = "$2" ] || { echo "$1 is $got, not $2"; return 1; }
}

# What is in use, but for what says nothing: for comparing before and after.
usage() {
    "$sim" status | grep -v '^daemon_pid'
}

same_usage() {
    local now
    now=$(usage)
    [ "$now" = "$1" ] || { diff <(echo "$1") <(echo "$now"); return 1; }
}

# Whether a process has ended; one that nobody has collected yet has.
gone() {
    ! kill -0 "$1" 2>/dev/null || grep -q '^State:.*Z' "/proc/$1/status"
}

# asleep PID: prints which of its sleeps a process is in; fails when it is awake.
asleep() {
    awk '/^State:/ {state = $2} /ctxt_switches/ {count += $2} END {print count; exit state != "S"}' "/proc/$1/status"
}

# Whether all of these processes sleep at one moment, so that none can wake another: each is in the same sleep when it
# is looked at before all others and after them.
all_asleep() {
    local pid sleeps=() i=0
    for pid in "$@"; do
        sleeps+=("$(asleep "$pid")") || return 1
    done
    for pid in "$@"; do
        [ "$(asleep "$pid")" = "${sleeps[i]}" ] || return 1
        i=$((i + 1))
    done
}

# The processes of this machine and no other's, whose program's name begins with NAME (any: when it is not given).
machine_pids() {
    local environ pid
    for environ in /proc/[0-9]*/environ; do
        pid=${environ#/proc/}
        pid=${pid%/environ}
        # The environment of the scripts has the directory too, but not the domain.
        if grep -qzx "XIDS_SIM_DIR=$XIDS_SIM_DIR" "$environ" 2>/dev/null && grep -qz '^XIDS_SIM_DOMID=' "$environ" &&
            [[ $(cat "/proc/$pid/comm") == "${1:-}"* ]] && ! gone "$pid"; then
            echo "$pid"
        fi
    done
}

# ---- xenstored, whichever ----

# start_store KIND [OPTION...]: xenstored (Debian's, in C), oxenstored (Debian's, in OCaml; it takes no options),
# xids-xenstored.
start_store() {
    local config=$sim_work/oxenstored.conf
    case $1 in
    xenstored)
        "$sim" exec -- "$xen_bin/xenstored" "${@:2}" >"$sim_work/store.log" 2>&1 </dev/null || return 1
        ;;
    oxenstored)
        # Its paths are built in; `xids-sim exec` redirects them. The page and port of dom0 it takes from here.
        cat >"$config" <<END
pid-file = $sim_work/oxenstored.pid
xenstored-log-file = $sim_work/oxenstored.log
access-log-file = $sim_work/oxenstored-access.log
xenstored-kva = /proc/xen/xsd_kva
xenstored-port = /proc/xen/xsd_port
quota-activate = true
END
        "$sim" exec -- "$xen_bin/oxenstored" --config-file "$config" --no-fork >"$sim_work/store.log" 2>&1 </dev/null &
        ;;
    xids-xenstored)
        "$sim" exec -- "$XIDS_BUILDDIR/xids-xenstored" --foreground "${@:2}" >"$sim_work/store.log" 2>&1 </dev/null &
        ;;
    esac
    eventually in_domain 0 "$tools/xenstore-exists" /tool || { cat "$sim_work/store.log"; return 1; }
}

# need_store KIND [OPTION...]: for a test that is nothing without it. That it does not start is no reason to skip: the simulator or
# the store is at fault.
need_store() {
    start_store "$@" && return
    tap_ok "$1 starts as a program of the simulated domain 0" false
    tap_done
    exit 1
}
