#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# xids-xenstored is killed and started again with its journal, and guests and domain 0 go on with what there was.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

ROUNDS=5

write() {
    in_domain "$1" "$tools/xenstore-write" "${@:2}"
}

reads() {
    prints "$3" in_domain "$1" "$tools/xenstore-read" "$2"
}

tree() {
    in_domain 0 "$tools/xenstore-ls" -f -p
}

kill_store() {
    local store
    store=$(machine_pids xids-xenstore)
    [ -n "$store" ] && kill -9 "$store" && eventually gone "$store"
}

start() {
    start_store xids-xenstored --journal "$sim_work/journal"
}

restart() {
    kill_store && start
}

same_tree() {
    local before
    before=$(tree) && restart && diff <(echo "$before") <(tree)
}

# The end of the last log.
said() {
    contains "$sim_work/store.log" "$1"
}

guests_write() {
    local i
    for ((i = 0; i < ROUNDS; i++)); do
        write 1 data/mine "$i" && write 2 data/mine "$i" && write 0 /mine "$i" || return 1
        restart && reads 1 data/mine "$i" && reads 2 data/mine "$i" && reads 0 /mine "$i" || return 1
    done
    write 1 data/mine after && reads 0 /local/domain/1/data/mine after
}

# A guest's watch: one event when it is set, one after the restart, one for the change.
watch_hears() {
    "$sim" exec --domain 1 -- timeout 60 "$tools/xenstore-watch" -n 3 data/watched >"$sim_work/watch" 2>&1 </dev/null &
    local watcher=$!
    eventually grep -q data/watched "$sim_work/watch" && restart || return 1
    eventually [ "$(grep -c data/watched "$sim_work/watch")" -ge 2 ]
    write 0 /local/domain/1/data/watched now && wait "$watcher"
}

# All that was answered must be there, whenever the store is killed: the writer says what it has written.
flood() {
    local i last
    for i in 1 2 3; do
        # shellcheck disable=SC2016 # the shell in the domain
        in_domain 0 bash -c 'n=0; while "$0" "/flood/$1" "$n" 2>/dev/null; do echo "$n"; n=$((n + 1)); done' \
            "$tools/xenstore-write" "$i" >"$sim_work/flood.$i" &
        local writer=$!
        eventually grep -qx "$((i * 7))" "$sim_work/flood.$i" && kill_store || return 1
        wait "$writer"
        start || return 1
        last=$(tail -n 1 "$sim_work/flood.$i")
        # The next one may have been written and not answered.
        reads 0 "/flood/$i" "$last" || reads 0 "/flood/$i" "$((last + 1))" || return 1
    done
}

# What the toolstack removes stays here, as there was no store; what the domain owned does not.
dies_meanwhile() {
    "$sim" domain create --domid 3 --name third >/dev/null && write 3 data/mine x && kill_store || return 1
    "$sim" domain destroy 3
    start && eventually fails in_domain 0 "$tools/xenstore-exists" /local/domain/3/data/mine
}

# More than a MiB of changes to the same nodes: the file is written anew, and does not grow with them.
written_anew() {
    local big i j
    big=$(printf '%01000d' 0)
    for ((i = 0; i < 40; i++)); do
        local pairs=()
        for ((j = 0; j < 40; j++)); do
            pairs+=("/big/$j" "$big$i")
        done
        write 0 "${pairs[@]}" || return 1
    done
    eventually [ "$(stat -c %s "$sim_work/journal")" -lt 1400000 ] && [ ! -e "$sim_work/journal.new" ] && same_tree
}

torn() {
    write 0 /torn 1 && kill_store || return 1
    printf 'half a record' >>"$sim_work/journal"
    start && said "are no whole record" && reads 0 /torn 1
}

# refused COMMAND...: with the journal that the command has damaged nothing starts, and says why; it is left as it is.
refused() {
    local status=0
    kill_store && cp "$sim_work/journal" "$sim_work/good" && "$@" || return 1
    cp "$sim_work/journal" "$sim_work/bad"
    "$sim" exec -- timeout 20 "$XIDS_BUILDDIR/xids-xenstored" --foreground --journal "$sim_work/journal" \
        >"$sim_work/store.log" 2>&1 </dev/null || status=$?
    [ "$status" = 1 ] && said "cannot be used" && cmp "$sim_work/journal" "$sim_work/bad" || return 1
    mv "$sim_work/good" "$sim_work/journal" && start
}

damage() {
    printf '\377' | dd of="$sim_work/journal" bs=1 seek="$1" conv=notrunc 2>/dev/null
}

# Prints a number as its eight bytes.
eight_bytes() {
    local i
    for ((i = 0; i < 64; i += 8)); do
        # shellcheck disable=SC2059 # the format is the byte
        printf "\\$(printf '%03o' $(($1 >> i & 255)))"
    done
}

# The journal becomes one of another boot: another name in its header, and the sum that belongs to it.
of_another_boot() {
    local byte sum=$((0xcbf29ce484222325))
    damage 24 || return 1
    for byte in $(head -c 64 "$sim_work/journal" | od -An -v -tu1); do
        sum=$(((sum ^ byte) * 0x100000001b3))
    done
    eight_bytes "$sum" | dd of="$sim_work/journal" bs=1 seek=64 conv=notrunc 2>/dev/null
}

other_boot() {
    kill_store && of_another_boot && start && said "of another boot" && [ -s "$sim_work/journal.old" ] &&
        fails in_domain 0 "$tools/xenstore-exists" /mine && write 0 /new 1 && restart && reads 0 /new 1
}

sim_begin
start || { tap_ok "it starts with a journal that is not there" false; tap_done; exit 1; }
for domid in 1 2; do
    "$sim" domain create --domid "$domid" --name "guest-$domid" >/dev/null
done
tap_ok "the tree is the same after a kill and a restart" same_tree
tap_ok "guests and domain 0 write on, $ROUNDS times" guests_write
tap_ok "a guest's watch fires after a restart, and goes on" watch_hears
tap_ok "what was answered in a flood of writes is there" flood
tap_ok "who died meanwhile is released" dies_meanwhile
tap_ok "a journal that has grown is written anew" written_anew
tap_ok "a torn end is left out, and logged" torn
tap_ok "a damaged header is refused" refused damage 3
tap_ok "a damaged state is refused" refused damage 300
tap_ok "an empty file is refused" refused truncate -s 0 "$sim_work/journal"
tap_ok "the file is its owner's alone" prints 600 stat -c %a "$sim_work/journal"
tap_ok "a new domain is introduced after all that" "$sim" domain create --domid 4
tap_ok "the tree is sound" in_domain 0 "$xen_bin/xenstore-control" check
tap_ok "a journal of another boot is set aside" other_boot
tap_done
