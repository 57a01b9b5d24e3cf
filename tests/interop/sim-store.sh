# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# The cases that hold for any xenstored on the simulator: sim-xenstored.sh, sim-oxenstored.sh and sim-xids-xenstored.sh
# call store_cases with its kind.
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"

xs_read() {
    in_domain "$1" "$tools/xenstore-read" "$2"
}

xs_write() {
    in_domain "$1" "$tools/xenstore-write" "$2" "$3"
}

big_value_passes() {
    local value
    value=$(head -c 1500 /dev/zero | tr '\0' v)
    xs_write 1 data/big "$value" && prints "$value" xs_read 1 data/big
}

# While one client of the domain watches, another writes.
watch_and_write() {
    local out=$sim_work/watch.out
    "$sim" exec --domain 1 -- timeout 30 "$tools/xenstore-watch" -n 2 data/watched >"$out" 2>&1 </dev/null &
    local watcher=$!
    eventually grep -q data/watched "$out" && xs_write 1 data/watched now
    local status=$?
    wait "$watcher" || status=1
    [ "$status" -eq 0 ] && [ "$(grep -c data/watched "$out")" -eq 2 ]
}

many_clients() {
    local i pids=() status=0
    for i in 1 2 3 4 5 6 7 8 9 10; do
        xs_write 1 "data/many/$i" "value $i" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        wait "$i" || status=1
    done
    for i in 1 2 3 4 5 6 7 8 9 10; do
        prints "value $i" xs_read 1 "data/many/$i" || status=1
    done
    return "$status"
}

# our_client DOMID BASE CHILDREN; domain 0 finds its own id there as on a host where xen-init-dom0 has run.
our_client() {
    [ "$1" != 0 ] || "$sim" domain introduce 0 || return
    in_domain "$1" "$XIDS_BUILDDIR/tests/interop/xs_client_check" "$2" "$3"
}

killed_watcher() {
    "$sim" exec --domain 1 -- "$tools/xenstore-watch" data/killed >"$sim_work/killed.out" 2>&1 </dev/null &
    local watcher=$!
    disown "$watcher"
    eventually grep -q data/killed "$sim_work/killed.out" || return 1
    counter_is xenbus_clients 1 || return 1
    kill -9 "$watcher"
    eventually counter_is xenbus_clients 0 && prints "fine" sh -c "$(declare -f in_domain)
        sim=$sim; in_domain 1 $tools/xenstore-write data/killed fine && in_domain 1 $tools/xenstore-read data/killed"
}

destroyed_is_announced() {
    local out=$sim_work/release.out
    "$sim" exec -- timeout 30 "$tools/xenstore-watch" -n 2 @releaseDomain >"$out" 2>&1 </dev/null &
    local watcher=$!
    eventually grep -q releaseDomain "$out" && "$sim" domain destroy 2 && wait "$watcher"
}

later_introduction() {
    local out=$sim_work/later.out
    # Without a store there is nobody to introduce it to; its clients wait.
    xs_read 3 domid >"$out" &
    local reader=$!
    "$sim" domain introduce 3 && wait "$reader" && contains "$out" 3
}

many_domains() {
    local i
    for ((i = 100; i < 124; i++)); do
        "$sim" domain create --domid "$i" --name "many-$i" >/dev/null || return 1
    done
    for ((i = 100; i < 124; i++)); do
        prints "many-$i" xs_read "$i" name || return 1
    done
    for ((i = 100; i < 124; i++)); do
        "$sim" domain destroy "$i" || return 1
    done
}

# A client that watches in domain 1 is cut off, and comes back to the new store.
another_store() {
    local pid
    pid=$(machine_pids "${1:0:10}" | head -n 1)
    kill -9 "$pid" && eventually gone "$pid" && rm -f "$XIDS_SIM_DIR/run/xenstored/"* && start_store "$1" &&
        "$sim" domain introduce 1 && prints 1 xs_read 1 domid && xs_write 1 data/again yes && prints yes xs_read 1 data/again
}

cycles_leave_nothing() {
    local before i
    before=$(usage)
    for ((i = 0; i < 10; i++)); do
        "$sim" domain create --domid 50 >/dev/null && xs_write 50 data/cycle "$i" && prints "$i" xs_read 50 data/cycle &&
            "$sim" domain destroy 50 || return 1
    done
    eventually same_usage "$before"
}

nothing_left_after_down() {
    local pid
    pid=$(counter daemon_pid)
    "$sim" down && [ ! -e "$XIDS_SIM_DIR" ] && eventually gone "$pid" && [ -z "$(machine_pids)" ]
}

store_cases() {
    local kind=$1
    sim_need_debian
    sim_begin
    "$sim" domain create --domid 3 >/dev/null # before there is any store
    need_store "$kind"
    tap_ok "$kind starts as a program of the simulated domain 0" true
    tap_ok "domain 0 reads what it wrote" prints there sh -c "$(declare -f in_domain)
        sim=$sim; in_domain 0 $tools/xenstore-write /tool/t there && in_domain 0 $tools/xenstore-read /tool/t"
    tap_ok "a new domain is introduced" prints 1 "$sim" domain create --domid 1 --name first
    tap_ok "another one is introduced" prints 2 "$sim" domain create --domid 2
    tap_ok "a guest reads its own domid over its ring" prints 1 xs_read 1 domid
    tap_ok "a guest reads the name that it was given" prints first xs_read 1 name
    tap_ok "a guest lists its own directory" in_domain 1 "$tools/xenstore-ls" /local/domain/1
    tap_ok "a guest writes below its data directory" xs_write 1 data/key value
    tap_ok "and reads it again" prints value xs_read 1 data/key
    tap_ok "domain 0 sees what the guest wrote" prints value xs_read 0 /local/domain/1/data/key
    tap_ok "a guest may not write its own name" fails xs_write 1 name other
    tap_ok "a guest may not read another's data" fails xs_read 2 /local/domain/1/data/key
    tap_ok "a value larger than the ring passes both ways" big_value_passes
    tap_ok "one client of a guest watches while another writes" watch_and_write
    tap_ok "ten clients of one guest share its ring" many_clients
    # A directory of 600 is read in parts; oxenstored sends it in one message that is longer than the protocol allows.
    # A guest's node may hold 2048 bytes, with the names of its children.
    tap_ok "our client passes its checks in domain 0" our_client 0 /local/domain/0/check \
        "$([ "$kind" = oxenstored ] && echo 100 || echo 600)"
    tap_ok "our client passes its checks in a guest" our_client 1 data/check 50
    tap_ok "a client that is killed leaves the others undisturbed" killed_watcher
    tap_ok "clients of a domain that is introduced later wait and are served" later_introduction
    tap_ok "the death of a domain is announced" destroyed_is_announced
    tap_ok "the nodes of a dead domain are gone" fails in_domain 0 "$tools/xenstore-exists" /local/domain/2
    tap_ok "twenty-four domains at once are served" many_domains
    tap_ok "making and destroying domains leaves nothing behind" cycles_leave_nothing
    tap_ok "Debian's test-xenstore passes in domain 0" in_domain 0 "$xen_bin/test-xenstore"
    tap_ok "after $kind was killed another one serves the domains" another_store "$kind"
    # It works in a directory of its domain's own root, which a guest does not own: domain 0 makes it.
    in_domain 0 "$tools/xenstore-write" /local/domain/1/xenstore-test "" &&
        in_domain 0 "$tools/xenstore-chmod" /local/domain/1/xenstore-test n1
    tap_ok "Debian's test-xenstore passes in a guest" in_domain 1 "$xen_bin/test-xenstore"
    tap_ok "down ends $kind and leaves no process, socket or file" nothing_left_after_down
    tap_done
}
