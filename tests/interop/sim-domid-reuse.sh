#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# xids-xenstored when a domain's number is given to another one before it has heard of the death. On Xen itself a domain
# whose ring the store still maps keeps its number; the simulator gives it out again at once.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

# domids: of all domains, one a line.
domids() {
    "$sim" list | awk 'NR > 1 {print $2}'
}

there() {
    domids | grep -qx "$1"
}

not_there() {
    local all
    all=$(domids) && grep -qx 0 <<<"$all" && ! grep -qx "$1" <<<"$all"
}

handle() {
    in_domain 0 "$tools/xenstore-read" /local/domain/9/vm
}

another_handle() {
    local now
    now=$(handle) && [ -s "$sim_work/handle" ] && [ "$now" != "$(cat "$sim_work/handle")" ]
}

right() {
    in_domain 0 "$tools/xenstore-ls" -p / | awk '/^right = / {print $NF}'
}

# Domain 9 with a node of its own and a right elsewhere; then another domain 9, while the store sleeps.
replaced() {
    local toolstack
    "$sim" domain create --domid 9 --name first >/dev/null &&
        in_domain 9 "$tools/xenstore-write" data/its secret &&
        in_domain 0 "$tools/xenstore-write" /right secret &&
        in_domain 0 "$tools/xenstore-chmod" /right n0 r9 &&
        prints secret in_domain 9 "$tools/xenstore-read" /right || return
    handle >"$sim_work/handle"
    kill -STOP "$store"
    "$sim" domain destroy 9 >/dev/null 2>&1 </dev/null &
    toolstack=$!
    eventually not_there 9 || return
    # It would tidy up in the store when that one wakes.
    kill -KILL "$toolstack"
    wait "$toolstack" 2>/dev/null
    "$sim" domain create --domid 9 --name second </dev/null &
    toolstack=$!
    eventually there 9 || return
    kill -CONT "$store"
    wait "$toolstack"
}

sim_begin
need_store xids-xenstored
store=$!
tap_ok "a domain's number goes to another one behind the store's back" replaced
tap_ok "each domain has a handle of its own" another_handle
tap_ok "the new domain is served" prints second in_domain 9 "$tools/xenstore-read" name
tap_ok "it has what was made for it" in_domain 9 "$tools/xenstore-write" data/mine 1
tap_ok "the old one's node is gone" fails in_domain 0 "$tools/xenstore-exists" /local/domain/9/data/its
tap_ok "the old one's right is gone" fails in_domain 9 "$tools/xenstore-read" /right
tap_ok "and was struck from the node" prints "(n0)" right
tap_done
