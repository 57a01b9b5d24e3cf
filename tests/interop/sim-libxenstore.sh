#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Our libxenstore.so.4 under Debian's unmodified programs, in domain 0 and in a guest of simulated machines, with each
# xenstored.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
ours=$XIDS_BUILDDIR/xenstore
check=$XIDS_BUILDDIR/tests/interop/libxenstore_check

# with_ours DOMID COMMAND...: as in_domain.
with_ours() {
    LD_LIBRARY_PATH=$ours in_domain "$@"
}

loads_ours() {
    with_ours 0 env LD_TRACE_LOADED_OBJECTS=1 "$tools/xenstore-read" | grep -F "libxenstore.so.4 => $ours/"
}

write_and_read() {
    with_ours "$1" "$tools/xenstore-write" "$2/a/b" 1 "$2/a/c" "two words" &&
        prints "$(printf '1\ntwo words')" with_ours "$1" "$tools/xenstore-read" "$2/a/b" "$2/a/c" &&
        prints "$(printf 'b\nc')" with_ours "$1" "$tools/xenstore-list" "$2/a" &&
        with_ours "$1" "$tools/xenstore-exists" "$2/a/b" && fails with_ours "$1" "$tools/xenstore-exists" "$2/a/x" &&
        with_ours "$1" "$tools/xenstore-rm" "$2/a" && fails with_ours "$1" "$tools/xenstore-read" "$2/a/b"
}

same_listing() {
    with_ours 0 "$tools/xenstore-chmod" /local/domain/1/data n1 r0 &&
        prints "$(in_domain 0 "$tools/xenstore-ls" -fp /)" with_ours 0 "$tools/xenstore-ls" -fp /
}

big_value_passes() {
    local value
    value=$(head -c 1500 /dev/zero | tr '\0' v)
    with_ours 1 "$tools/xenstore-write" data/big "$value" && prints "$value" with_ours 1 "$tools/xenstore-read" data/big
}

watch_and_write() {
    local out=$sim_work/watch.out
    with_ours "$1" "$tools/xenstore-watch" -n 2 "$2" >"$out" 2>&1 &
    local watcher=$! status=0
    eventually grep -q "$2" "$out" && with_ours "$1" "$tools/xenstore-write" "$2" now || status=1
    wait "$watcher" || status=1
    [ "$status" -eq 0 ] && [ "$(grep -c "$2" "$out")" -eq 2 ]
}

has_tty() {
    local tty
    tty=$(in_domain 0 "$tools/xenstore-read" /local/domain/1/console/tty) && [ -c "$tty" ]
}

python_works() {
    with_ours "$1" env PYTHONPATH="$modules" python3 "$XIDS_SRCDIR/tests/interop/lowlevel_check.py"
}

console_is_served() {
    with_ours 0 "$xen_bin/xenconsoled" --pid-file="$sim_work/xenconsoled.pid" && eventually has_tty
}

# The program waits in the library when the store is killed. It counts what fails as events: with three it is done.
ends_with_the_store() {
    local out=$sim_work/orphan.out pid status=0
    with_ours 0 "$tools/xenstore-watch" -n 3 /orphan >"$out" 2>&1 &
    local watcher=$!
    eventually grep -q orphan "$out" || return 1
    pid=$(machine_pids "${1:0:10}" | head -n 1)
    kill -9 "$pid"
    wait "$watcher" || status=$?
    [ "$status" -lt 124 ]
}

library_cases() {
    local kind=$1 children=600
    # A directory of 600 does not fit in a message; oxenstored sends it in one that is longer than the protocol allows.
    [ "$kind" != oxenstored ] || children=100
    if ! start_store "$kind"; then
        tap_ok "$kind starts as a program of the simulated domain 0" false
        return
    fi
    "$sim" domain create --domid 1 --name first >/dev/null
    tap_ok "$kind: the tools load our library" loads_ours
    tap_ok "$kind: the tools write, read, list and remove in domain 0" write_and_read 0 /tool/ours
    tap_ok "$kind: and in a guest" write_and_read 1 data
    tap_ok "$kind: xenstore-ls prints with our library what it prints with Xen's" same_listing
    tap_ok "$kind: a value larger than the ring passes both ways" big_value_passes
    tap_ok "$kind: xenstore-watch sees a change in domain 0" watch_and_write 0 /tool/watched
    tap_ok "$kind: and in a guest" watch_and_write 1 data/watched
    tap_ok "$kind: xenstore-control check answers" with_ours 0 "$xen_bin/xenstore-control" check
    tap_ok "$kind: Debian's test-xenstore passes in domain 0" with_ours 0 "$xen_bin/test-xenstore" -i 5
    # It works in a directory of its domain's own root, which a guest does not own: domain 0 makes it.
    in_domain 0 "$tools/xenstore-write" /local/domain/1/xenstore-test "" &&
        in_domain 0 "$tools/xenstore-chmod" /local/domain/1/xenstore-test n1
    tap_ok "$kind: and in a guest" with_ours 1 "$xen_bin/test-xenstore"
    tap_ok "$kind: a program with threads, watches and a fork passes its checks with Xen's library" \
        in_domain 0 "$check" /tool/check "$children"
    tap_ok "$kind: with ours" with_ours 0 "$check" /tool/check "$children" new
    tap_ok "$kind: with ours in a guest" with_ours 1 "$check" /local/domain/1/data/check 50 new
    if PYTHONPATH=$modules python3 -c 'import xen.lowlevel.xs' 2>/dev/null; then
        tap_ok "$kind: Xen's python module works" python_works 0
    else
        tap_skip "$kind: Xen's python module works" "there is no python3 for it"
    fi
    if [ -c /dev/pts/ptmx ]; then
        tap_ok "$kind: xenconsoled serves a console" console_is_served
    else
        tap_skip "$kind: xenconsoled serves a console" "no terminals can be made here (devpts is not mounted)"
    fi
    tap_ok "$kind: a program that waits for events ends when the store is killed" ends_with_the_store "$kind"
}

sim_need_debian
modules=$(echo "$debian"/usr/lib/xen-*/lib/python)
sim_begin
library_cases xids-xenstored
for kind in xenstored oxenstored; do
    "$sim" down >/dev/null 2>&1
    "$sim" up || exit 1
    library_cases "$kind"
done
tap_done
