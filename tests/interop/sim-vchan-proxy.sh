#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Debian's unmodified vchan-socket-proxy at both ends, in two simulated domains.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian
sim_begin
need_store xenstored
"$sim" domain create --domid 1 >/dev/null
"$sim" domain create --domid 2 >/dev/null
before=$(usage)

# proxy N MODE PEER PATH: one end over its standard input and output. MALLOC_PERTURB_: it takes whatever malloc gives for
# libxenvchan's blocking flag; so does everybody, and zero is what it lives on.
proxy() {
    MALLOC_PERTURB_=0 timeout -k 5 60 "$sim" exec --domain "$1" -- "$xen_bin/vchan-socket-proxy" --mode="$2" "$3" "$4" -
}

has_bytes() {
    [ "$(stat -c %s "$1")" -ge "$2" ]
}

# shellcheck disable=SC2094 # the sizes alone are read
# exchange NAME BYTES_OF_SERVER BYTES_OF_CLIENT: either end's input ends only when all has arrived on both sides.
exchange() {
    local at=$sim_work/$1
    head -c "$2" /dev/urandom >"$at.s" && head -c "$3" /dev/urandom >"$at.c"
    : >"$at.sout" && : >"$at.cout"
    { cat "$at.s"; eventually has_bytes "$at.cout" "$2"; eventually has_bytes "$at.sout" "$3"; } |
        proxy 1 server 2 "data/vchan/$1" >"$at.sout" 2>/dev/null &
    local server=$!
    eventually in_domain 0 "$tools/xenstore-exists" "/local/domain/1/data/vchan/$1/event-channel" || return 1
    { cat "$at.c"; eventually has_bytes "$at.cout" "$2"; eventually has_bytes "$at.sout" "$3"; } |
        proxy 2 client 1 "/local/domain/1/data/vchan/$1" >"$at.cout" 2>/dev/null
    wait "$server"
    cmp "$at.s" "$at.cout" && cmp "$at.c" "$at.sout"
}

tap_ok "a few bytes each way arrive" exchange few 5 7
tap_ok "more than the ring holds arrives each way" exchange more 50000 30000
tap_ok "much from the server alone arrives" exchange server 500000 1
tap_ok "much from the client alone arrives" exchange client 1 500000
tap_ok "afterwards nothing is in use any more" eventually same_usage "$before"
tap_done
