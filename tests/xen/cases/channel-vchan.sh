# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# vchan between domains over real grants and event channels: xids-vchan at both ends; and, at one, vchan-socket-proxy and
# tests/interop/vchan-peer, which are libxenvchan.

# shellcheck disable=SC2034,SC2154 # case_run's; lib.sh's $slower
keeps_guests=1

# vchan LISTENER CONNECTOR NAME [OPTIONS]: sets $listen and $connect, the commands of the two ends; OPTIONS of the listener.
vchan() {
    listen="timeout $((60 * slower)) xids-vchan ${4:-} listen $(agent_domid "$2") $3"
    connect="timeout $((60 * slower)) xids-vchan -t $((30 * slower)) connect $(agent_domid "$1") $3"
}

# pass LISTENER CONNECTOR sends|receives BYTES [OPTIONS]: what the LISTENER does with so many bytes.
pass() {
    local listener=$1 connector=$2 from to out in listen connect file sender receiver sent got
    file=/run/pass-$BASHPID-$RANDOM
    vchan "$listener" "$connector" "${file##*/}" "${5:-}"
    if [ "$3" = sends ]; then
        from=$listener to=$connector out=$listen in=$connect
    else
        from=$connector to=$listener out=$connect in=$listen
    fi
    agent_start receiver "$to" "set -o pipefail; $in | sha256sum" || return 1
    agent_start sender "$from" "head -c $4 /dev/urandom >$file; sha256sum <$file; $out <$file; s=\$?; rm $file; (exit \$s)" ||
        return 1
    sent=$(agent_end "$sender" "$from" 60) || { echo "sender in $from: $sent"; return 1; }
    got=$(agent_end "$receiver" "$to" 60) || { echo "receiver in $to: $got"; return 1; }
    echo "$listener listens, $4 bytes from $from to $to: $sent"
    [ "$sent" = "$got" ] || { echo "received: $got"; return 1; }
}

# four ONE OTHER BYTES [OPTIONS]: each of the two as listener, in both directions.
four() {
    pass "$1" "$2" sends "$3" "${4:-}" && pass "$1" "$2" receives "$3" "${4:-}" &&
        pass "$2" "$1" sends "$3" "${4:-}" && pass "$2" "$1" receives "$3" "${4:-}"
}

xen_case vchan-dom0-guest quick 120 xids,C,oxenstored "vchan between dom0 and a PVH guest, either as server, both ways"
case_vchan_dom0_guest() {
    agent_guest one pvh && four dom0 one 100000
}

xen_case vchan-sizes all 150 xids "one byte, a ring's worth, less and more than it, with the smallest and the usual rings"
case_vchan_sizes() {
    local bytes
    agent_guest one pvh || return 1
    for bytes in 1 1023 1024 1025; do
        pass dom0 one receives $bytes "-l 10 -r 11" && pass one dom0 sends $bytes "-l 11 -r 10" || return 1
    done
    for bytes in 65535 65536 65537; do
        pass one dom0 sends $bytes && pass dom0 one receives $bytes || return 1
    done
}

# Such a channel is 513 pages, of which Linux shares 1024 at a time: the second comes only when those of the first have
# been given back.
xen_case vchan-largest all 150 xids "rings of 1 MiB work, and their pages are given back each time"
case_vchan_largest() {
    agent_guest one pvh || return 1
    at dom0 10 'cat /sys/module/xen_gntalloc/parameters/limit' && at one 10 'cat /sys/module/xen_gntalloc/parameters/limit'
    pass dom0 one sends 3000000 "-l 20 -r 20" && pass dom0 one receives 3000000 "-l 20 -r 20" &&
        pass dom0 one sends 1 "-l 20 -r 20" && pass one dom0 sends 3000000 "-l 20 -r 20" &&
        pass one dom0 receives 1 "-l 20 -r 20" && pass one dom0 sends 1 "-l 20 -r 20"
}

xen_case vchan-guests all 180 xids "vchan between a PVH and a PV guest, either as server, both ways"
case_vchan_guests() {
    agent_guest one pvh && agent_guest two pv && four one two 100000
}

has_bytes() {
    [ "$(stat -c %s "$1")" -ge "$2" ]
}

# echoed COMMAND: COMMAND in dom0 sends 200000 bytes, more than the rings hold, and gets them back.
echoed() {
    local asker got=0
    rm -f /run/answer*
    head -c 200000 /dev/urandom >/run/asked
    agent_start asker dom0 "{ cat /run/asked; until [ -e /run/answered ]; do sleep 0.3; done; } | $1 >/run/answer" || return 1
    wait_for 60 has_bytes /run/answer 200000 || got=1
    touch /run/answered
    agent_end "$asker" dom0 30 && [ $got -eq 0 ] && cmp /run/asked /run/answer
}

# echoes PLACE ECHO COMMAND: ECHO in PLACE gives back to COMMAND in dom0, its input being its own output.
echoes() {
    local loop=/run/loop-$RANDOM echo
    agent_start echo "$1" "mkfifo $loop; ($2) <$loop | cat >$loop; rm $loop" && echoed "$3" && agent_end "$echo" "$1" 30
}

xen_case vchan-echo all 90 xids "dom0 gets back all that it sends to an echo in a guest, while it sends"
case_vchan_echo() {
    local listen connect
    agent_guest one pvh && vchan one dom0 echo -k && echoes one "$listen" "$connect"
}

# ---- the real libxenvchan ----

# proxy MODE PEER PATH: the proxy takes whatever malloc gives for libxenvchan's flag "blocking", and lives on zero. As a
# client it does not wait for its server.
proxy() {
    local wait=
    [ "$1" = server ] || wait="until xenstore-exists $3/event-channel; do sleep 0.3; done;"
    echo "$wait MALLOC_PERTURB_=0 timeout $((60 * slower)) vchan-socket-proxy --mode=$1 $2 $3 -"
}

xen_case vchan-proxy quick 90 xids "xids-vchan in dom0 and vchan-socket-proxy in a guest, as server and as client"
case_vchan_proxy() {
    local guest path
    agent_guest one pvh || return 1
    guest=$(agent_domid one)
    path=/local/domain/$guest/data/proxy
    echoes one "$(proxy server 0 "$path")" "timeout $((60 * slower)) xids-vchan connect $guest $path" || return 1
    path=/local/domain/0/data/vchan/$guest/proxy
    echoes one "$(proxy client 0 "$path")" "timeout $((60 * slower)) xids-vchan listen $guest $path"
}

# peers SERVER PLACE CLIENT PLACE ORDERS stream|packet SERVER_DUTY CLIENT_DUTY: two programs of tests/interop; SERVER and
# CLIENT are xids or libxenvchan.
peers() {
    local path server client
    path=/local/domain/$(agent_domid "$2")/data/peers
    agent_start server "$2" "MALLOC_PERTURB_=0 timeout $((60 * slower)) vchan-peer $1 server $(agent_domid "$4") $path $5 $6 $7; s=\$?; xenstore-rm $path 2>/dev/null; (exit \$s)" &&
        agent_start client "$4" "until xenstore-exists $path/event-channel; do sleep 0.3; done; MALLOC_PERTURB_=0 timeout $((60 * slower)) vchan-peer $3 client $(agent_domid "$2") $path $5 $6 $8" || return 1
    echo "$1 serves in $2, $3 connects in $4, orders $5, $6: $7, $8"
    agent_end "$client" "$4" 60 && agent_end "$server" "$2" 60
}

xen_case vchan-libxenvchan all 240 xids "streams and packets, ours and libxenvchan's, with rings of several sizes"
case_vchan_libxenvchan() {
    local pair orders
    agent_guest one pvh || return 1
    for pair in "xids libxenvchan" "libxenvchan xids"; do
        for orders in "10 11" "12 16" "20 20"; do
            # shellcheck disable=SC2086 # two words
            set -- $pair
            peers "$1" dom0 "$2" one "$orders" stream exchange exchange &&
                peers "$1" one "$2" dom0 "$orders" packet exchange exchange || return 1
        done
    done
}

# ---- the matrix ----

# matrix SERVER CLIENT SECONDS SET [SLOT SLOTS]: both sides of tests/interop/vchan_matrix in these places. What a side says is
# long, so it stays where it runs, but for what went wrong.
matrix() {
    local path sides=(server client) places=("$1" "$2") ids=() i side status=0 text pairs
    path=/local/domain/$(agent_domid "$1")/data/m
    for i in 0 1; do
        side=${sides[i]}
        agent_start "ids[$i]" "${places[i]}" "XIDS_MATRIX_SECONDS=$((20 * slower)) vchan_matrix $side $(agent_domid "${places[1 - i]}") $path ${*:4} >/run/matrix.$side; s=\$?; grep -v ^ok /run/matrix.$side | head -n 20; echo \$(grep -c ^ok /run/matrix.$side) pairs; rm /run/matrix.$side; (exit \$s)" || return 1
    done
    for i in 0 1; do
        text=$(agent_end "${ids[i]}" "${places[i]}" "$3") || status=1
        [ $status -eq 0 ] || echo "the ${sides[i]}s in ${places[i]}: $text"
        pairs=${text##*$'\n'}
    done
    # Who kills a server leaves what that had published.
    ! xenstore-exists "$path" || xenstore-rm "$path"
    echo "@ servers in $1, clients in $2: $pairs"
    return $status
}

xen_case vchan-matrix quick 120 xids "a choice of the vchan matrix between dom0 and a guest, with libxenvchan: close and kill -9 at any point"
case_vchan_matrix() {
    agent_guest one pvh && matrix one dom0 60 xen 0 16 && matrix dom0 one 60 xen 7 16
}

xen_case vchan-matrix-all all 900 xids "the vchan matrix between dom0 and a guest, with libxenvchan, either as server"
case_vchan_matrix_all() {
    agent_guest one pvh && matrix one dom0 400 xen && matrix dom0 one 400 xen
}

# ---- unikernels ----

# echo_guest NAME OPTIONS: the unikernel vchan-echo. Prints its domid.
echo_guest() {
    guest_config "$1" pvh "$guests/vchan-echo" "" 'memory = 32' "extra = \"$2\"" && guest_create "$1"
}

xen_case vchan-unikernel quick 90 xids,C,oxenstored "a unikernel echoes what dom0 sends, as server and as client, with xids-vchan and with libxenvchan"
case_vchan_unikernel() {
    local domid
    domid=$(echo_guest server "") || return 1
    echoed "timeout $((60 * slower)) xids-vchan connect $domid echo" &&
        MALLOC_PERTURB_=0 timeout $((60 * slower)) libxenvchan_peer send "$domid" "/local/domain/$domid/data/vchan/0/echo" 100000 &&
        MALLOC_PERTURB_=0 timeout $((60 * slower)) libxenvchan_peer packets "$domid" "/local/domain/$domid/data/vchan/0/echo" 5000 || return 1
    xl destroy server
    domid=$(echo_guest client mode=connect) || return 1
    echoed "timeout $((60 * slower)) xids-vchan listen $domid echo" || return 1
    console client
    xl destroy client
}

xen_case vchan-unikernel-extension quick 90 xids "a unikernel and dom0 speak vchan's extension: half-close, heartbeat, and kill -9 with bytes unread"
case_vchan_unikernel_extension() {
    local domid
    domid=$(echo_guest server "") &&
        timeout $((60 * slower)) vchan_echoed connect "$domid" "/local/domain/$domid/data/vchan/0/echo" 5 || return 1
    xl destroy server
    domid=$(echo_guest client mode=connect) &&
        timeout $((60 * slower)) vchan_echoed listen "$domid" "/local/domain/0/data/vchan/$domid/echo" 5 || return 1
    console client
    # The folders that the killed one had made.
    xenstore-rm /local/domain/0/data/vchan
    xl destroy client
}

# last_domid: the highest number that Xen has given so far.
last_domid() {
    local domid
    guest_config last pvh "$guests/hello" "" 'memory = 32' && domid=$(guest_create last -p) && xl destroy last && echo "$domid"
}

# asked PEER WORD: a unikernel that says the word to that domain, and gets it back. It may be gone before its number is known.
asked() {
    echo_guest asks "mode=connect peer=$1 say=$2"
    wait_console asks 30 "\"$2\" came back" && console asks && console_has asks "\"$2\" came back whole" && wait_for 20 guest_gone asks
}

xen_case vchan-unikernels all 120 xids "a unikernel is answered by another, and by a Linux guest"
case_vchan_unikernels() {
    local domid echo
    agent_guest one pvh || return 1
    # Each must know the other's number before that is there: they are given one after the other.
    domid=$(($(last_domid) + 1))
    echo_guest server "peer=$((domid + 1))" && asked $domid round && xl destroy server || return 1
    agent_start echo one "mkfifo /run/loop; timeout $((60 * slower)) xids-vchan -k listen $((domid + 2)) echo </run/loop | cat >/run/loop; rm /run/loop" &&
        asked "$(agent_domid one)" about && agent_end "$echo" one 30
}
