#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# The bare guest's first steps, on a plain emulated machine: QEMU boots PVH kernels as Xen does, and all that comes before
# the first call to Xen can be seen there in a second. tests/guest/bare.c is the kernel; each case is one boot of it.
set -u
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
qemu='qemu-system-x86_64'
bare=$XIDS_BUILDDIR/tests/guest/bare
work=$(mktemp -d "${TMPDIR:-/tmp}/xids-guest-boot.XXXXXX")
pid=
finish() {
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

if [ ! -f "$bare" ]; then
    tap_skip "the bare guest boots" "it is built on x86-64 only"
    tap_done
    exit
fi
if ! command -v $qemu >/dev/null; then
    tap_skip "the bare guest boots" "no $qemu"
    tap_done
    exit
fi

# Options of the machine for the next boots.
machine=()

# on OPTION... -- COMMAND...: on a machine with these options.
on() {
    local status
    machine=()
    while [ "$1" != -- ]; do
        machine+=("$1")
        shift
    done
    shift
    "$@"
    status=$?
    machine=()
    return "$status"
}

# boot KERNEL COMMAND_LINE: what it says is in $work/out. Returns when it has halted; a minute is a hang.
boot() {
    local kernel=$1 line=$2 i
    : >"$work/out"
    "$qemu" -accel tcg -cpu max -m 32 -nodefaults -display none -monitor none -no-reboot -serial "file:$work/serial" \
        "${machine[@]}" -kernel "$kernel" -append "$line" >"$work/qemu" 2>&1 </dev/null &
    pid=$!
    for ((i = 0; i < 1200; i++)); do
        # Before the kernel, the firmware says something too.
        [ ! -f "$work/serial" ] || tr -d '\r' <"$work/serial" >"$work/out"
        ! grep -q '^xids: halted' "$work/out" || break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    pid=
    rm -f "$work/serial"
    grep -q '^xids: halted' "$work/out" && return
    echo "it did not come to its end:"
    cat "$work/qemu" "$work/out"
    return 1
}

# says PATTERN...: each line of the output that is wanted, as an extended expression for a whole line.
says() {
    local pattern
    for pattern in "$@"; do
        grep -qxE "$pattern" "$work/out" && continue
        printf 'does not say: %s\n' "$pattern"
        cat "$work/out"
        return 1
    done
}

# does NAME PATTERN...: the kernel does it and says so.
does() {
    local name=$1
    shift
    boot "$bare" "do=$name" && says "$@" 'xids: halted \(0\)'
}

# dies NAME PATTERN...: it ends as crashed.
dies() {
    local name=$1
    shift
    boot "$bare" "do=$name" && says "$@" 'xids: halted \(3\)'
}

# The functions that a dump's trace names, the innermost first. It has the addresses behind the calls.
trace() {
    local addresses i
    read -ra addresses < <(sed -n 's/^ *called from *//p' "$work/out")
    for i in "${!addresses[@]}"; do
        addresses[i]=$(printf '%x' $((16#${addresses[i]} - 1)))
    done
    addr2line -f -e "$bare" "${addresses[@]}" | sed -n 'p;n'
}

needs_xen() {
    boot "$XIDS_BUILDDIR/guests/hello" "" &&
        says 'xids: this kernel needs Xen, and there is none below it' 'xids: halted \(3\)'
}

# Reads what do=show said into the arrays starts and ends (of the ranges) and the numbers free, space_start, space_end,
# address_bits.
read_show() {
    local word a b
    starts=() ends=() free=0
    while read -r word a b; do
        case $word in
        range)
            starts+=($((16#$a)))
            ends+=($((16#$b)))
            free=$((free + 16#$b - 16#$a))
            ;;
        space) space_start=$((16#$a)) space_end=$((16#$b)) ;;
        address) address_bits=$b ;;
        esac
    done <"$work/out"
    [ ${#starts[@]} -gt 0 ]
}

# symbol NAME: its address.
symbol() {
    echo $((16#$(nm "$bare" | sed -n "s/ [A-Za-z] $1\$//p")))
}

# Of 32 MiB the ranges leave out little more than the image.
shows_memory() {
    boot "$bare" 'quiet do=show more=1 =x' &&
        says 'command line: \[quiet do=show more=1 =x\]' 'first instruction before' && read_show &&
        [ "$free" -gt $((31 * 1024 * 1024)) ] && [ "$free" -lt $((32 * 1024 * 1024)) ]
}

leaves_the_image_alone() {
    local start end i
    start=$(symbol xids_guest_text) end=$(symbol xids_guest_end)
    boot "$bare" do=show && read_show || return
    cat "$work/out"
    for i in "${!starts[@]}"; do
        ((starts[i] % 4096 == 0 && ends[i] % 4096 == 0 && starts[i] >= 4096 && starts[i] < ends[i])) || return
        ((ends[i] <= start || starts[i] >= end)) || return
    done
}

# 64 MiB or more that touch no range, within what the processor addresses.
space_is_free() {
    local i
    boot "$bare" do=show && read_show || return
    cat "$work/out"
    ((space_end - space_start >= 64 << 20 && space_end <= 1 << address_bits)) || return
    for i in "${!starts[@]}"; do
        ((ends[i] <= space_start || starts[i] >= space_end)) || return
    done
}

long_command_line() {
    local line
    line="do=show pad=$(printf 'x%.0s' {1..1000})"
    boot "$bare" "$line" && says "command line: \\[$line\\]"
}

too_long_command_line() {
    boot "$bare" "do=show pad=$(printf 'x%.0s' {1..4100})" && says 'xids: the command line is too long'
}

# A module lies in memory that is then not free.
module() {
    local without
    head -c 3000000 /dev/zero >"$work/module"
    boot "$bare" do=show && read_show || return
    without=$free
    on -initrd "$work/module" -- boot "$bare" do=show && read_show || return
    echo "$without bytes without, $free with a module"
    [ $((without - free)) -ge 3000000 ] && [ $((without - free)) -le 3100000 ]
}

# much_memory SIZE OPTION...: perhaps more than the machine has that runs this; so it is a file with holes.
much_memory() {
    local size=$1
    shift
    on -m "$size" -object "memory-backend-file,id=ram,size=$size,mem-path=$work,share=on,discard-data=on" \
        -machine memory-backend=ram "$@" -- eval 'space_is_free && does reach "reached everything"'
}

overflow() {
    dies overflow '  write at [0-9a-f]+, where there is no memory: stack overflow' &&
        [ "$(trace | head -n 1)" = deeper ]
}

# What a crash says leads to the faulty function, and its trace from there to the start.
traced() {
    dies null-read 'xids: exception 14 \(page fault\), error code 0, at [0-9a-f]+' \
        '  read at 8, where there is no memory: NULL pointer' '  rax [0-9a-f]{16} .*' '  stack [0-9a-f]+ .*' || return
    local at
    at=$(sed -n 's/^xids: exception 14 .* at //p' "$work/out")
    addr2line -f -e "$bare" "$at" >"$work/rip"
    cat "$work/rip"
    [ "$(head -n 1 "$work/rip")" = look ] || return
    trace >"$work/trace"
    cat "$work/trace"
    grep -qx guest_start "$work/trace" && grep -qx arch_start "$work/trace"
}

tap_ok "a kernel that needs Xen says so and stops" needs_xen
tap_ok "the command line and the memory map arrive" shows_memory
tap_ok "free ranges are whole pages and leave the image alone" leaves_the_image_alone
tap_ok "a command line of 1000 characters arrives" long_command_line
tap_ok "a command line beyond the bound is refused" too_long_command_line
tap_ok "modules are left alone" module
tap_ok "the space is free" space_is_free
tap_ok "all free memory can be used" does reach 'reached everything'
tap_ok "all pages can be had and given back" does pages 'had [0-9]+ pages'
tap_ok "a machine of 4 MiB" on -m 4 -- does pages 'had [0-9]+ pages'
tap_ok "a machine of 6 GiB" much_memory 6G
tap_ok "a machine of 64 GiB, without large pages" much_memory 64G -cpu max,-pdpe1gb
tap_ok "a machine of 60 GiB that addresses no more than 64" much_memory 60G -cpu max,phys-bits=36
tap_ok "a processor without the no-execute bit" on -cpu max,-nx -- does reach 'reached everything'
tap_ok "floating point" does floating 'sum [0-9]+'
tap_ok "formats" does print \
    '\[  -42\]\[42   \]\[-0042\]\[beef\]\[0123456789abcdef\]\[c\]\[%\]\[text\]\[   right\]\[7\]'
tap_ok "the processor's random numbers" does random 'random bits 256, differing'
tap_ok "randomness without the processor's help is credited with nothing" \
    on -cpu max,-rdseed,-rdrand -- does random 'random bits (0|256), differing'
tap_ok "reading NULL is dumped, with a trace" traced
tap_ok "calling NULL is dumped" dies null-call '  execution at 0, where there is no memory: NULL pointer'
tap_ok "a stack overflow is called that" overflow
tap_ok "a division by zero is dumped" dies divide 'xids: exception 0 \(division error\), .*'
tap_ok "text cannot be written" dies write-text \
    "  write at [0-9a-f]+, which is not allowed there: the program's text"
tap_ok "constants cannot be written" dies write-constant '  write at [0-9a-f]+, which is not allowed there: constant data'
tap_ok "data cannot be executed" dies run-data '  execution at [0-9a-f]+, which is not allowed there'
tap_ok "where there is no memory, nothing is mapped" dies hole '  write at [0-9a-f]+, where there is no memory'
tap_ok "an impossible address is dumped" dies general 'xids: exception 13 \(general protection fault\), .*'
tap_ok "an undefined instruction is dumped" dies undefined 'xids: exception 6 \(invalid opcode\), .*'
tap_ok "a dump survives frame pointers that lead nowhere" dies broken-frames 'xids: exception 6 .*' '  called from'
tap_ok "a panic says what and why" dies panic 'xids: panic at 0x[0-9a-f]+: as asked' '  called from [0-9a-f]+.*'
tap_ok "pages given back twice end the domain" dies free-twice 'xids: panic at .*: pages given back that nobody had'
tap_done
