# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# What the bare guest has of its machine, on the real Xen: memory, clocks, console, and how it ends.
# shellcheck disable=SC2154 # guests: of lib.sh

# machine_does NAME REGEXP [LINE...]: starts the guest that does it, waits until its console has the expression.
machine_does() {
    local name=$1 wanted=$2
    shift 2
    guest_config machine pvh "$guests/machine" "" 'memory = 16' "extra = \"do=$name\"" "$@"
    # The console's log goes on where that of a guest of the same name has ended.
    rm -f "$log/guest-machine.log"
    # It may have come and gone before its domid could be asked for; then its console says what was.
    guest_create machine || ! grep -i error "$log/machine.create" || return 1
    wait_console machine 60 "$wanted" || return 1
    console machine
}

# machine_crashes NAME REGEXP...: it ends as crashed, and its console has each of them.
machine_crashes() {
    local name=$1
    shift
    machine_does "$name" "$1" 'on_crash = "preserve"' || return 1
    wait_for 20 eval 'xl list machine | grep -q "c- "' || { xl list; return 1; }
    for wanted in "$@"; do
        console_has machine "$wanted" || { echo "not there: $wanted"; return 1; }
    done
    xl destroy machine
}

xen_case machine-null quick 60 xids "a bare guest that follows NULL says where, and ends as crashed"
case_machine_null() {
    machine_crashes null 'called from( [0-9a-f]+)+' 'exception 14 \(page fault\)' 'read at 8, where there is no memory: NULL pointer'
}

xen_case machine-overflow all 60 xids "a stack overflow is told from other faults"
case_machine_overflow() {
    machine_crashes overflow 'called from( [0-9a-f]+)+' ': stack overflow'
}

xen_case machine-panic all 60 xids "a panic, and a program that fails, end as crashed"
case_machine_panic() {
    machine_crashes panic 'called from( [0-9a-f]+)+' 'panic at 0x[0-9a-f]+: as asked' &&
        machine_crashes seven 'the program ended with 7'
}

xen_case machine-nmi all 60 xids "a guest that hangs tells where when xl sends it an NMI"
case_machine_nmi() {
    machine_does hang hanging || return 1
    xl trigger machine nmi || return 1
    wait_console machine 30 'exception 2 \(non-maskable interrupt\).*called from' || return 1
    wait_for 20 guest_gone machine
}

xen_case machine-memory all 120 xids "all memory of domains of 4 and of 200 MiB can be had and given back"
case_machine_memory() {
    local size had free total
    for size in 4 200; do
        machine_does memory 'free again: .*KiB' "memory = $size" || return 1
        had=$(console machine | sed -n 's/^had \([0-9]*\) KiB, left 0\r*$/\1/p')
        read -r free total < <(console machine | sed -n 's/^free again: \([0-9]*\) of \([0-9]*\) KiB\r*$/\1 \2/p')
        # What cannot be had is the image, what the toolstack loads behind it, and the platform's own few pages.
        echo "$had KiB of $total"
        [ "$had" -gt $(((size - 1) * 1024)) ] && [ "$had" = "$free" ] && [ "$had" -gt $((total - 200)) ] || return 1
        wait_for 20 guest_gone machine || return 1
    done
}

xen_case machine-clocks all 60 xids "a guest's sleeps never end early, and it knows the time of day"
case_machine_clocks() {
    local wall now
    machine_does clocks '60 sleeps, sum 885' || return 1
    ! console_has machine WRONG || return 1
    wall=$(console machine | sed -n 's/^wall \([0-9]*\)\r*$/\1/p')
    now=$(date +%s)
    # The day, not the second: dom0 and Xen each have it from the machine's clock once.
    [ $((now - wall)) -gt -3600 ] && [ $((now - wall)) -lt 3600 ]
}

# machine_hears TEXT: as if it were typed.
machine_hears() {
    local tty
    tty=$(xenstore-read "/local/domain/$(xl domid machine)/console/tty") && printf '%s' "$1" >"$tty"
}

xen_case machine-flood all 90 xids "output that nobody reads in time is dropped, and not a byte of it is uncounted"
case_machine_flood() {
    local said dropped=0 note=0 line
    machine_does flood '\[[0-9]+ bytes of output were dropped\]' >/dev/null && machine_hears . &&
        wait_for 30 guest_gone machine || return 1
    while IFS= read -r line; do
        if [[ $line =~ ^\[([0-9]+)\ bytes ]]; then
            dropped=$((dropped + BASH_REMATCH[1]))
            # With the line that it ended.
            note=$((note + ${#line} + 2))
        fi
    done < <(console machine | tr -d '\r' | grep -v '^typed ')
    said=$(($(console machine | tr -d '\r' | grep -v '^typed ' | wc -c) - note))
    console machine | tail -n 4
    echo "$said bytes are here, $dropped are said to be dropped"
    [ "$dropped" -gt 0 ] && [ $((said + dropped)) -eq $((2000 * 51)) ]
}

xen_case machine-typed quick 60 xids "what is typed on the console arrives, also more than its ring holds"
case_machine_typed() {
    machine_does typed listening || return 1
    machine_hears "$(printf 'abcdefghij%.0s' {1..300})." || return 1
    wait_console machine 30 'typed [0-9]+ characters, sum [0-9]+' || return 1
    console machine
    # 300 times the sum of ten letters.
    console_has machine "typed 3000 characters, sum $((300 * (97 * 10 + 45)))" && wait_for 20 guest_gone machine
}
