#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# The demo that ./quickstart runs: a simulated machine with xids-xenstored and xids-randomd in domain 0, and three guests
# that each get their entropy over vchan. Ends with "demo: 3 guests seeded over vchan"; whatever happens, nothing is left
# behind. XIDS_BUILDDIR says where the programs are.
set -u
build=${XIDS_BUILDDIR:?}
guests=3

say() {
    printf '%s\n' "$*"
}

# ---- the stage: one folder, and processes that are our children ----

folder=/tmp/xids-demo.$$
[ ! -e "$folder" ] || { say "demo: $folder exists already" >&2; exit 1; }
export XIDS_SIM_DIR=$folder/machine
daemons=()

# Stops the daemons, the last one started first, so that each can still say good-bye to those it leans on. Returns
# non-zero when one of them did not end well.
strike() {
    local i j pid fine=0
    for ((i = ${#daemons[@]} - 1; i >= 0; i--)); do
        pid=${daemons[i]}
        kill -TERM "$pid" 2>/dev/null
        for ((j = 0; j < 1500; j++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.02
        done
        # One that hangs is killed; the demo has failed then.
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null || fine=1
    done
    daemons=()
    return "$fine"
}

# shellcheck disable=SC2317 # called by the trap
leave() {
    local rest
    trap '' HUP INT TERM
    strike
    # What was started but not yet noted when a signal came.
    mapfile -t rest < <(jobs -p)
    [ ${#rest[@]} -eq 0 ] || kill -KILL "${rest[@]}" 2>/dev/null
    wait
    rm -rf "$folder"
}
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    say "demo: $*" >&2
    tail -n 5 "$folder"/*.log >&2
    exit 1
}

# until_there WHAT TEST...: waits up to half a minute for a condition.
until_there() {
    local what=$1 i
    shift
    for ((i = 0; i < 1500; i++)); do
        "$@" 2>/dev/null && return
        sleep 0.02
    done
    fail "$what did not start"
}

# in_turn COMMAND...: a command that a signal interrupts at once, which bash does with `wait` alone.
in_turn() {
    "$@" &
    wait $!
}

# libtool leaves a script where the program will be installed from, and the program itself in .libs.
program() {
    if [ -x "$build/.libs/$1" ]; then
        echo "$build/.libs/$1"
    else
        echo "$build/$1"
    fi
}
sim=$(program xids-sim)
export LD_LIBRARY_PATH=$build/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export XIDS_SIM_LIBDIR=$build/sim/lib

# ---- the play ----

mkdir -m 700 "$folder" || exit 1
say "A simulated machine; xids-xenstored and xids-randomd in domain 0."
"$sim" up --foreground >"$folder/sim.log" 2>&1 &
daemons+=($!)
until_there xids-sim "$sim" status >"$folder/status.log"
"$sim" exec -- "$(program xids-xenstored)" --foreground >"$folder/xenstored.log" 2>&1 &
daemons+=($!)
until_there xids-xenstored test -S "$XIDS_SIM_DIR/run/xenstored/socket"
in_turn "$sim" domain introduce 0 || fail "domain 0 has no nodes"
"$sim" exec -- "$(program xids-randomd)" --foreground --control "$folder/randomd.sock" >"$folder/randomd.log" 2>&1 &
daemons+=($!)
until_there xids-randomd test -S "$folder/randomd.sock"

say
say "$guests guests: each finds its channel in xenstore, takes its seed, then pulls 1 MiB more."
seeded=0
domids=()
for ((i = 1; i <= guests; i++)); do
    domid=$("$sim" domain create --name "guest$i" 2>"$folder/create.log") || fail "guest$i could not be created"
    domids+=("$domid")
    in_turn "$sim" exec --domain "$domid" -- "$(program xids-entropy-demo)" --timeout 5 2>"$folder/guest$i.log" ||
        fail "guest$i got no entropy"
    seeded=$((seeded + 1))
done

say
say "What xenstore says of domain 0 and of the first guest (never anything secret):"
for path in /local/domain/0 "/local/domain/${domids[0]}"; do
    in_turn "$sim" exec -- "$(program xids-demo-tree)" "$path" || fail "the tree could not be read"
done

say
for domid in "${domids[@]}"; do
    in_turn "$sim" domain destroy "$domid" || fail "domain $domid could not be destroyed"
done
strike || fail "a daemon did not end well"
[ ! -e "$XIDS_SIM_DIR" ] || fail "the simulator left $XIDS_SIM_DIR behind"
say "demo: $seeded guests seeded over vchan"
