#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Our libxenvchan.so.4.17 in place of Xen's: what it exports; unmodified programs with either library at either end, in
# two domains of the simulator; and the cases in which ours does better.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
ours=$XIDS_BUILDDIR/vchan/libxenvchan.so.4.17
theirs=$(pkg-config --variable=libdir xenvchan)/libxenvchan.so.4.17
peer=$XIDS_BUILDDIR/tests/interop/libxenvchan_peer
end=$XIDS_BUILDDIR/tests/interop/vchan-peer
faults=$XIDS_BUILDDIR/tests/interop/libxenvchan_faults
path=/local/domain/1/data/vchan

# ---- the library ----

names() {
    nm -D --defined-only --with-symbol-versions "$1" | awk '$2 == "T" {sub("@@", "@", $3); print $3}' | sort
}

exports_the_same() {
    diff <(names "$theirs") <(names "$ours")
}

field() {
    readelf -d "$1" | sed -n "s/.*($2).*\[\(.*\)\]/\1/p" | sort
}

same_soname() {
    [ "$(field "$ours" SONAME)" = "$(field "$theirs" SONAME)" ]
}

needs_the_same() {
    diff <(field "$theirs" NEEDED) <(field "$ours" NEEDED)
}

tap_ok "Xen's library is here" test -e "$theirs"
tap_ok "ours exports the same names and versions" exports_the_same
tap_ok "it has the same soname" same_soname
tap_ok "it needs the same libraries" needs_the_same
if command -v abidiff >/dev/null; then
    tap_ok "abidiff sees no difference" abidiff "$theirs" "$ours"
else
    tap_skip "abidiff sees no difference" "abigail-tools are not installed"
fi

# ---- programs with either ----

# with LIBRARY DOMID COMMAND...: as in_domain.
with() {
    local folder=
    [ "$1" = theirs ] || folder=${ours%/*}
    shift
    LD_LIBRARY_PATH=$folder in_domain "$@"
}

# which_of LIBRARY PROGRAM: prints the path of the one that it loads. Libtool's programs are scripts around others.
which_of() {
    local program=$2
    [ ! -x "${2%/*}/.libs/${2##*/}" ] || program=${2%/*}/.libs/${2##*/}
    with "$1" 1 env LD_TRACE_LOADED_OBJECTS=1 "$program" | sed -n 's/.*libxenvchan.so.4.17 => \([^ ]*\).*/\1/p'
}

loads_each() {
    local program
    for program in "$peer" "$end" "$faults" "$xen_bin/vchan-socket-proxy"; do
        prints "$ours" which_of ours "$program" || return 1
        [ "$(realpath "$(which_of theirs "$program")")" = "$(realpath "$theirs")" ] || { echo "$program"; return 1; }
    done
}

# echoed SERVER CLIENT WHAT RING COUNT: the client sends, and has it all back.
echoed() {
    local out=$sim_work/server.out server
    with "$1" 1 "$peer" echo 2 data/vchan/echo "$4" >"$out" 2>&1 &
    server=$!
    prints "echoed $5" with "$2" 2 "$peer" "$3" 1 "$path/echo" "$5" || { cat "$out"; kill "$server"; return 1; }
    wait "$server" && contains "$out" closed
}

# pair SERVER CLIENT LEFT RIGHT MODE SERVER_DUTY CLIENT_DUTY: of vchan-peer.
pair() {
    local server status=0
    with "$1" 1 "$end" libxenvchan server 2 "$path/pair" "$3" "$4" "$5" "$6" &
    server=$!
    with "$2" 2 "$end" libxenvchan client 1 "$path/pair" "$3" "$4" "$5" "$7" || { echo "the client failed"; status=1; }
    wait "$server" || { echo "the server failed"; status=1; }
    return "$status"
}

# in_turn LIBRARY CLIENT...: a persistent server and its clients, one after the other.
in_turn() {
    local server status=0 client
    with "$1" 1 "$end" libxenvchan server 2 "$path/turn" 12 13 stream serve &
    server=$!
    shift
    for client in "$@"; do
        with "$client" 2 "$end" libxenvchan client 1 "$path/turn" 12 13 stream exchange || status=1
    done
    wait "$server" || status=1
    return "$status"
}

# killed SERVER CLIENT VICTIM: one end is killed, the other gets what it had written, and the end.
killed() {
    local duty_server=last duty_client=last server client watcher out=$sim_work/killed.out status=0
    [ "$3" = server ] && duty_server=die || duty_client=die
    : >"$out"
    with "$1" 1 "$end" libxenvchan server 2 "$path/killed" 12 11 stream "$duty_server" >>"$out" &
    server=$!
    with "$2" 2 "$end" libxenvchan client 1 "$path/killed" 12 11 stream "$duty_client" >>"$out" &
    client=$!
    watcher=$client
    [ "$3" = server ] || watcher=$server
    eventually grep -q '^ready ' "$out" || { echo "it was never ready"; kill "$server" "$client"; return 1; }
    kill -KILL "$(sed -n 's/^ready //p' "$out")"
    wait "$watcher" || { echo "the other did not see it"; status=1; }
    wait "$server" "$client" 2>/dev/null
    return "$status"
}

# proxy LIBRARY DOMID MODE PEER PATH. Of itself it takes whatever malloc gave for the blocking flag; it lives on zero.
proxy() {
    local folder=
    [ "$1" = theirs ] || folder=${ours%/*}
    LD_LIBRARY_PATH=$folder MALLOC_PERTURB_=0 timeout -k 5 60 "$sim" exec --domain "$2" -- \
        "$xen_bin/vchan-socket-proxy" --mode="$3" "$4" "$5" -
}

has_bytes() {
    [ "$(stat -c %s "$1")" -ge "$2" ]
}

# shellcheck disable=SC2094 # the sizes alone are read
# proxied SERVER CLIENT BYTES_OF_SERVER BYTES_OF_CLIENT: either end's input ends only when all has arrived on both sides.
proxied() {
    local at=$sim_work/proxied server
    head -c "$3" /dev/urandom >"$at.s" && head -c "$4" /dev/urandom >"$at.c"
    : >"$at.sout" && : >"$at.cout"
    { cat "$at.s"; eventually has_bytes "$at.cout" "$3"; eventually has_bytes "$at.sout" "$4"; } |
        proxy "$1" 1 server 2 data/vchan/proxied >"$at.sout" 2>/dev/null &
    server=$!
    eventually in_domain 0 "$tools/xenstore-exists" "$path/proxied/event-channel" || return 1
    { cat "$at.c"; eventually has_bytes "$at.cout" "$3"; eventually has_bytes "$at.sout" "$4"; } |
        proxy "$2" 2 client 1 "$path/proxied" >"$at.cout" 2>/dev/null
    wait "$server"
    cmp "$at.s" "$at.cout" && cmp "$at.c" "$at.sout"
}

# ---- where ours does better ----

# fault LIBRARY CASE: MALLOC_PERTURB_ so that memory which nobody has set is not zero by luck.
fault() {
    MALLOC_PERTURB_=1 with "$1" 1 "$faults" "$2" 2
}

fault_of_theirs() {
    ! fault theirs "$1" 2>/dev/null
}

sim_need_debian
sim_begin
need_store xenstored
"$sim" domain create --domid 1 >/dev/null
"$sim" domain create --domid 2 >/dev/null
before=$(usage)

tap_ok "programs load ours where they are told to, and Xen's else" loads_each
for libraries in "ours ours" "ours theirs" "theirs ours"; do
    read -r server client <<<"$libraries"
    who="server with $server, client with $client"
    for ring in 1024 2048 4096 65536; do
        tap_ok "$who: a stream comes back whole through rings of $ring bytes" \
            echoed "$server" "$client" send "$ring" 300000
    done
    tap_ok "$who: packets come back whole" echoed "$server" "$client" packets 2048 500
    for orders in "10 11" "11 10" "11 12" "12 11" "14 12" "16 16" "20 12"; do
        read -r left right <<<"$orders"
        for mode in stream packet; do
            tap_ok "$who: orders $left and $right, $mode" \
                pair "$server" "$client" "$left" "$right" "$mode" exchange exchange
        done
    done
    tap_ok "$who: the server closes, the client gets the last bytes and the end" \
        pair "$server" "$client" 12 12 stream leave last
    tap_ok "$who: the client closes, the server gets the last bytes and the end" \
        pair "$server" "$client" 12 12 stream last leave
    tap_ok "$who: the server is killed" killed "$server" "$client" server
    tap_ok "$who: the client is killed" killed "$server" "$client" client
    tap_ok "$who: vchan-socket-proxy carries bytes both ways" proxied "$server" "$client" 50000 30000
    tap_ok "$who: vchan-socket-proxy carries many" proxied "$server" "$client" 500000 1
done
tap_ok "a server with ours serves clients one after the other" in_turn ours theirs ours theirs
tap_ok "a server with Xen's serves clients of ours one after the other" in_turn theirs ours theirs ours
tap_ok "no port, grant or mapping is left" eventually same_usage "$before"

while read -r case kind; do
    tap_ok "ours: $case" fault ours "$case"
    [ "$kind" = alone ] || tap_ok "not so Xen's: $case" fault_of_theirs "$case"
done < <("$faults")
tap_ok "nothing is left by these either" eventually same_usage "$before"
tap_done
