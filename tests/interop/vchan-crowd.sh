#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# 2000 vchans in one process: the servers of docs/howto/vchan.md, with epoll and with libuv, on the simulator. All are
# alive; each side sees all ends when the other is killed; and other clients find the server as it was. And a server that
# was there before its client's domain.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
crowd=$XIDS_BUILDDIR/tests/interop/vchan-crowd
count=2000
sim_begin
"$sim" exec -- "$XIDS_BUILDDIR/xids-xenstored" --foreground >"$sim_work/store.log" 2>&1 </dev/null &
client=$("$sim" domain create --name client)
for domain in 0 "$client"; do
    eventually "$sim" domain introduce "$domain" || { cat "$sim_work/store.log"; exit 1; }
done
mkfifo "$sim_work/never"

# says FILE TEXT: whether a line of it is that.
says() {
    grep -q -x -e "$2" "$1"
}

# meanwhile PID COMMAND...: as eventually, with a minute more as long as the process lives.
meanwhile() {
    local pid=$1 i
    shift
    for ((i = 0; i < 6; i++)); do
        eventually "$@" >/dev/null 2>&1 && return 0
        ! gone "$pid" || break
    done
    "$@"
}

# serve PROGRAM: starts it, in the shell's own process so that $! is the program's.
serve() {
    exec "$sim" exec -- "$XIDS_BUILDDIR/docs/howto/$1" "$client" "$path" "$count" >"$sim_work/server.out"
}

# call FILE: the clients.
call() {
    exec "$sim" exec --domain "$client" -- "$crowd" 0 "$path" "$count" >"$sim_work/$1"
}

# pid_of FILE: of the crowd that said so.
pid_of() {
    sed -n 's/^alive //p' "$1"
}

# crowds PROGRAM: crowds of clients, the first killed, the second closes by halves, the third sees the server killed.
crowds() {
    local server first second third status=0
    path=/local/domain/0/data/vchan/$client/$1
    rm -f "$sim_work"/*.out
    (serve "$1") </dev/null &
    server=$!
    meanwhile "$server" says "$sim_work/server.out" "serving $count channels" || { echo "it does not serve"; return 1; }

    (call first.out) <>"$sim_work/never" &
    first=$!
    meanwhile "$first" says "$sim_work/first.out" 'alive .*' || { echo "the first crowd is not all alive"; status=1; }
    kill -KILL "$(pid_of "$sim_work/first.out")"
    wait "$first" 2>/dev/null
    meanwhile "$server" says "$sim_work/server.out" "$count have ended" || { echo "not all ends of the killed were seen"; status=1; }

    (call second.out) </dev/null &
    second=$!
    wait "$second" || { echo "the second crowd failed"; status=1; }
    says "$sim_work/second.out" "$count have ended" || { echo "the half-close was not answered"; status=1; }
    meanwhile "$server" says "$sim_work/server.out" "$((2 * count)) have ended" || { echo "not all that closed were seen"; status=1; }

    (call third.out) <>"$sim_work/never" &
    third=$!
    meanwhile "$third" says "$sim_work/third.out" 'alive .*' || { echo "the third crowd is not all alive"; status=1; }
    kill -KILL "$server"
    wait "$server" 2>/dev/null
    wait "$third" || { echo "the third crowd failed"; status=1; }
    says "$sim_work/third.out" "$count have ended" || { echo "not all saw the server's end"; status=1; }
    return "$status"
}

# early PROGRAM DOMID: what it publishes for a domain that is not there yet has void permissions, and is given again.
early() {
    local client=$2 count=3 server path=/local/domain/0/data/vchan/$2/$1 status=0
    rm -f "$sim_work"/*.out
    (serve "$1") </dev/null &
    server=$!
    meanwhile "$server" says "$sim_work/server.out" "serving $count channels" || { echo "it does not serve"; return 1; }
    prints "$client" "$sim" domain create --domid "$client" || status=1
    prints hello timeout -k 5 60 "$sim" exec --domain "$client" -- \
        "$XIDS_BUILDDIR/xids-vchan" -t 40 connect 0 "$path/1" <<<hello || status=1
    kill -KILL "$server"
    wait "$server" 2>/dev/null
    "$sim" domain destroy "$client" || status=1
    return "$status"
}

before=$(usage)
tap_ok "2000 channels of one process with epoll: alive, killed, half-closed, and the server killed" crowds vchan-echo
tap_ok "2000 channels of one process with libuv: alive, killed, half-closed, and the server killed" crowds vchan-echo-uv
tap_ok "with epoll: a server that is there before its client's domain" early vchan-echo 100
tap_ok "with libuv: a server that is there before its client's domain" early vchan-echo-uv 101
tap_ok "no port, grant or mapping is left" eventually same_usage "$before"
tap_done
