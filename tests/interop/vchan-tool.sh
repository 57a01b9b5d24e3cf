#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# xids-vchan in two domains of the simulator: each kind of end, each option, many channels at once, deaths of either
# side, and Debian's vchan-socket-proxy at the other end.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
tool=$XIDS_BUILDDIR/xids-vchan
ends=$XIDS_SRCDIR/tests/interop/vchan_ends.py
command -v python3 >/dev/null || sim_skip_all "python3 is not installed"
sim_need_debian
sim_begin
need_store xenstored
server_domain=$("$sim" domain create --name server)
client_domain=$("$sim" domain create --name client)
folder=/local/domain/$server_domain/data/vchan
before=$(usage)

# Programs that take others' place (exec), so that they can be killed by the number of the job: for jobs alone.
serve() {
    exec "$sim" exec --domain "$server_domain" -- "$tool" "$@"
}
call() {
    exec "$sim" exec --domain "$client_domain" -- "$tool" "$@"
}

# For the rest: with a limit against hanging. limited_call is for what does not read its input from elsewhere.
limited_call() {
    timeout -k 5 60 "$sim" exec --domain "$client_domain" -- "$tool" "$@"
}
limited_serve() {
    timeout -k 5 60 "$sim" exec --domain "$server_domain" -- "$tool" "$@"
}

# stop STATUS PID...: ends jobs and expects this of each.
stop() {
    local expected=$1 pid status=0
    shift
    for pid in "$@"; do
        kill "$pid" 2>/dev/null
        wait "$pid"
        [ $? -eq "$expected" ] || { echo "a program ended with another status than $expected"; status=1; }
    done
    return "$status"
}

published() {
    "$sim" exec -- "$tools/xenstore-exists" "$folder/$client_domain/$1/event-channel"
}

# That nothing is left in the store where the channels met.
no_nodes() {
    ! "$sim" exec -- "$tools/xenstore-exists" "$folder" || { "$sim" exec -- "$tools/xenstore-ls" -f; return 1; }
}

random_file() {
    head -c "$2" /dev/urandom >"$sim_work/$1"
}

# ---- standard input and output ----

# both_ways ORDERS BYTES [OPTION...]: each side sends at the same time as it receives.
both_ways() {
    local left=${1%:*} right=${1#*:} size=$2 server status=0
    shift 2
    random_file left "$size" && random_file right "$size"
    (serve "$@" -l "$left" -r "$right" listen "$client_domain" both <"$sim_work/right" >"$sim_work/left.got") &
    server=$!
    limited_call "$@" -t 30 connect "$server_domain" both <"$sim_work/left" >"$sim_work/right.got" || status=1
    wait "$server" || status=1
    cmp "$sim_work/left" "$sim_work/left.got" && cmp "$sim_work/right" "$sim_work/right.got" && return "$status"
}

# A question is answered although its end had to be seen first: without -k.
question() {
    local server got
    random_file asked 300000
    (serve --one listen "$client_domain" sum --exec sha256sum </dev/null) &
    server=$!
    got=$(limited_call connect "$server_domain" sum <"$sim_work/asked") || return
    wait "$server" || return
    [ "$got" = "$(sha256sum <"$sim_work/asked")" ] || { echo "$got"; return 1; }
}

# With a peer that knows no half-close the question's end is the channel's, unless it is kept.
plain_question() {
    local server got
    (serve --plain --one listen "$client_domain" plain --exec head -c 5 </dev/null) &
    server=$!
    got=$(echo hello | limited_call -k connect "$server_domain" plain) || return
    wait "$server"
    [ "$got" = hello ] || { echo "$got"; return 1; }
}

# The reader of our output goes: that is said, and the peer sees the end.
output_fails() {
    local server status=0
    (serve listen "$client_domain" full </dev/null >/dev/full 2>"$sim_work/full.err") &
    server=$!
    echo something | limited_call -t 30 connect "$server_domain" full 2>/dev/null
    wait "$server" || status=$?
    [ "$status" -eq 1 ] && contains "$sim_work/full.err" "output: No space left on device"
}

# Nor is anything lost without a word where there is no output at all.
output_closed() {
    local server status=0
    (serve listen "$client_domain" closed </dev/null >&- 2>"$sim_work/closed.err") &
    server=$!
    echo something | limited_call -t 30 connect "$server_domain" closed 2>/dev/null
    wait "$server" || status=$?
    [ "$status" -eq 1 ] && contains "$sim_work/closed.err" "output: Bad file descriptor"
}

# A peer that closes first: who had still something to say is told, and its own feeder is not kept waiting. It has: the
# peer's process takes a little, and then nothing until everything is full.
closes_first() {
    local server client feeder status=0
    mkfifo "$sim_work/feed"
    yes >"$sim_work/feed" 2>/dev/null &
    feeder=$!
    (serve listen "$client_domain" first <"$sim_work/feed" >/dev/null 2>"$sim_work/first.err") &
    server=$!
    # shellcheck disable=SC2016 # the process expands it
    (call -t 30 connect "$server_domain" first --exec sh -c \
        'head -c 1000 >/dev/null; : >"$0.begun"; while [ ! -e "$0.full" ]; do sleep 0.05; done' "$sim_work/first" </dev/null) &
    client=$!
    eventually [ -e "$sim_work/first.begun" ] && eventually all_asleep "$feeder" "$client" "$server"
    : >"$sim_work/first.full"
    wait "$client"
    wait "$server" || status=$?
    wait "$feeder"
    rm "$sim_work/feed"
    [ "$status" -eq 1 ] || { echo "status $status"; return 1; }
    contains "$sim_work/first.err" "the peer closed before it had read everything"
}

# Nobody reads for a while: all wait, none turns, and then everything comes.
slow_reader() {
    local server client feeder status=0
    random_file slow 2000000
    mkfifo "$sim_work/slow.in" "$sim_work/slow.out"
    cat "$sim_work/slow" >"$sim_work/slow.in" &
    feeder=$!
    (serve listen "$client_domain" slow </dev/null >"$sim_work/slow.out") &
    server=$!
    exec 3<"$sim_work/slow.out"
    (call connect "$server_domain" slow <"$sim_work/slow.in" 3<&-) &
    client=$!
    eventually read -r -t 0 -u 3 && eventually all_asleep "$feeder" "$client" "$server" || status=1
    cmp "$sim_work/slow" - <&3 || status=1
    exec 3<&-
    wait "$server" && wait "$client" || status=1
    rm "$sim_work/slow.in" "$sim_work/slow.out"
    return "$status"
}

# ---- processes ----

# Its arguments are its own, and it knows where it stands.
arguments() {
    local server got
    # shellcheck disable=SC2016 # the process expands it
    (serve -1 listen "$client_domain" arguments --exec sh -c 'echo "$XIDS_VCHAN_DOMID $XIDS_VCHAN_NAME $*"' sh -k --one \
        </dev/null) &
    server=$!
    got=$(limited_call connect "$server_domain" arguments </dev/null) || return
    wait "$server" || return
    [ "$got" = "$client_domain arguments -k --one" ] || { echo "$got"; return 1; }
}

# exit_status EXPECTED TEXT COMMAND...: of a server whose process ends so.
exit_status() {
    local expected=$1 text=$2 server status=0
    shift 2
    (serve --one listen "$client_domain" status --exec "$@" </dev/null 2>"$sim_work/status.err") &
    server=$!
    limited_call -t 30 connect "$server_domain" status </dev/null
    wait "$server" || status=$?
    [ "$status" -eq "$expected" ] || { echo "status $status"; cat "$sim_work/status.err"; return 1; }
    [ -z "$text" ] || contains "$sim_work/status.err" "$text"
}

# A process for each of several clients at once; all are there before any may go on.
processes() {
    local server i clients=() status=0
    # shellcheck disable=SC2016 # the process expands it
    (serve listen "$client_domain" processes --exec sh -c 'read -r word; echo "$word back"' </dev/null) &
    server=$!
    for i in 1 2 3 4 5; do
        mkfifo "$sim_work/word.$i"
        (call connect "$server_domain" processes <"$sim_work/word.$i" >"$sim_work/word.$i.got") &
        clients+=($!)
    done
    exec 5>"$sim_work/word.1" 6>"$sim_work/word.2" 7>"$sim_work/word.3" 8>"$sim_work/word.4" 9>"$sim_work/word.5"
    eventually running 5 sh || status=1
    for i in 1 2 3 4 5; do
        echo "word $i" >&$((i + 4))
    done
    exec 5>&- 6>&- 7>&- 8>&- 9>&-
    for i in 1 2 3 4 5; do
        wait "${clients[i - 1]}" || status=1
        [ "$(cat "$sim_work/word.$i.got")" = "word $i back" ] || status=1
        rm "$sim_work/word.$i"
    done
    stop 143 "$server" && return "$status"
}

# running N NAME: whether so many programs of that name run on the machine.
running() {
    [ "$(machine_pids "$2" | wc -l)" -eq "$1" ]
}

# A process that takes no notice of its channel's end is ended.
stubborn() {
    local server client
    (serve listen "$client_domain" stubborn --exec sh -c 'trap "" TERM PIPE; echo ready; while :; do read -r x; done' \
        </dev/null 2>/dev/null) &
    server=$!
    (call connect "$server_domain" stubborn </dev/null >"$sim_work/stubborn") &
    client=$!
    eventually grep -q ready "$sim_work/stubborn" || return
    stop 143 "$client" "$server" || return
    eventually running 0 sh
}

# ---- sockets ----

# start_echo ADDRESS: a server that gives back; sets echo_pid, and port if the address is 0.
start_echo() {
    python3 "$ends" echo "$1" >"$sim_work/echo.port" &
    echo_pid=$!
    if [ "$1" = 0 ]; then
        eventually test -s "$sim_work/echo.port" && port=$(cat "$sim_work/echo.port")
    else
        eventually test -S "$1"
    fi
}

end_echo() {
    kill "$echo_pid"
    wait "$echo_pid" 2>/dev/null
    rm -f "$sim_work/echo.sock" "$sim_work/echo.port"
}

# listening ADDRESS: whether the near end has been opened.
listening() {
    if [ "$1" = 0 ]; then
        near=$(sed -n 's/^xids-vchan: port //p' "$sim_work/near.err")
        [ -n "$near" ]
    else
        near=$1
        [ -S "$1" ]
    fi
}

# crowd KIND N BYTES NEAR [OPTION...]: connections to a socket in one domain, through channels, to a socket in the other.
# NEAR: whether the domain where they come is the server or the client.
crowd() {
    local kind=$1 n=$2 bytes=$3 near_side=$4 near='' port='' far_pid near_pid status=0
    local echo_at=$sim_work/echo.sock near_at=$sim_work/near.sock
    shift 4
    [ "$kind" = unix ] || echo_at=0 near_at=0
    start_echo "$echo_at" || return
    [ "$kind" = unix ] || echo_at=$port
    : >"$sim_work/near.err"
    if [ "$near_side" = client ]; then
        (serve "$@" "--$kind=$echo_at" listen "$client_domain" crowd </dev/null) &
        far_pid=$!
        (call "$@" "--$kind-listen=$near_at" connect "$server_domain" crowd </dev/null 2>"$sim_work/near.err") &
    else
        (call "$@" --reconnect "--$kind=$echo_at" connect "$server_domain" crowd </dev/null) &
        far_pid=$!
        (serve "$@" "--$kind-listen=$near_at" listen "$client_domain" crowd </dev/null 2>"$sim_work/near.err") &
    fi
    near_pid=$!
    eventually listening "$near_at" || { cat "$sim_work/near.err"; status=1; }
    timeout -k 5 60 python3 "$ends" crowd "$near" "$n" "$bytes" || { cat "$sim_work/near.err"; status=1; }
    stop 143 "$near_pid" "$far_pid" || status=1
    [ ! -e "$sim_work/near.sock" ] || { echo "the socket is left"; status=1; }
    end_echo
    return "$status"
}

# Connections that go at once cost nothing that lasts, and the next is served.
leavers() {
    local far_pid near_pid status=0
    start_echo "$sim_work/echo.sock" || return
    (serve "--unix=$sim_work/echo.sock" listen "$client_domain" leavers </dev/null) &
    far_pid=$!
    (call "--unix-listen=$sim_work/near.sock" connect "$server_domain" leavers </dev/null) &
    near_pid=$!
    eventually test -S "$sim_work/near.sock"
    timeout -k 5 60 python3 "$ends" leave "$sim_work/near.sock" 50 || status=1
    timeout -k 5 60 python3 "$ends" crowd "$sim_work/near.sock" 3 10000 || status=1
    stop 143 "$near_pid" "$far_pid" || status=1
    end_echo
    return "$status"
}

# A socket that nobody listens to ends the channel and is reported; the server goes on.
refused() {
    local server status=0
    (serve "--unix=$sim_work/nobody" listen "$client_domain" refused </dev/null 2>"$sim_work/refused.err") &
    server=$!
    limited_call -t 30 connect "$server_domain" refused </dev/null || status=1
    limited_call -t 30 connect "$server_domain" refused </dev/null || status=1
    stop 143 "$server" || status=1
    [ "$(grep -c "nobody: No such file" "$sim_work/refused.err")" -eq 2 ] || { cat "$sim_work/refused.err"; status=1; }
    return "$status"
}

# A connection waits for a server only as long as it is told to.
gives_up() {
    local near_pid status=0
    (call -t 1 "--unix-listen=$sim_work/near.sock" connect "$server_domain" nobody </dev/null 2>"$sim_work/up.err") &
    near_pid=$!
    eventually test -S "$sim_work/near.sock"
    ! timeout -k 5 60 python3 "$ends" exact "$sim_work/near.sock" 1 10 2>/dev/null || status=1
    stop 143 "$near_pid" || status=1
    contains "$sim_work/up.err" "nobody: Connection timed out" && return "$status"
}

# The socket of a killed program is taken over; one of a living program is not.
stale_socket() {
    local first status=0
    (call "--unix-listen=$sim_work/near.sock" connect "$server_domain" stale </dev/null) &
    first=$!
    eventually test -S "$sim_work/near.sock"
    ! limited_call "--unix-listen=$sim_work/near.sock" connect "$server_domain" stale </dev/null 2>"$sim_work/st.err" ||
        status=1
    contains "$sim_work/st.err" "near.sock: Address already in use" || status=1
    kill -KILL "$first"
    wait "$first" 2>/dev/null
    [ -S "$sim_work/near.sock" ] || status=1
    (call "--unix-listen=$sim_work/near.sock" connect "$server_domain" stale </dev/null) &
    first=$!
    eventually fresh_socket "$first" || status=1
    stop 143 "$first" && [ ! -e "$sim_work/near.sock" ] && return "$status"
}

# fresh_socket PID: whether that process listens.
fresh_socket() {
    ! gone "$1" && python3 "$ends" leave "$sim_work/near.sock" 1
}

# ---- deaths, and coming again ----

# killed WHO: with kill -9; the other gets all that was sent, and ends.
killed() {
    local server client victim other status=0
    mkfifo "$sim_work/kill.s" "$sim_work/kill.c"
    (serve listen "$client_domain" killed <"$sim_work/kill.s" >"$sim_work/kill.s.got") &
    server=$!
    exec 3>"$sim_work/kill.s"
    (call connect "$server_domain" killed <"$sim_work/kill.c" >"$sim_work/kill.c.got" 3>&-) &
    client=$!
    exec 4>"$sim_work/kill.c"
    echo of the server >&3
    echo of the client >&4
    eventually contains "$sim_work/kill.s.got" client && eventually contains "$sim_work/kill.c.got" server || status=1
    victim=$server other=$client
    [ "$1" = server ] || victim=$client other=$server
    kill -KILL "$victim"
    wait "$victim" 2>/dev/null
    wait "$other" || { echo "the other's status is $?"; status=1; }
    exec 3>&- 4>&-
    rm "$sim_work/kill.s" "$sim_work/kill.c"
    [ "$1" = client ] || "$sim" exec -- "$tools/xenstore-rm" "$folder"
    return "$status"
}

# A server that outlives its clients, and collects what each says.
next_client() {
    local server i status=0
    (serve --reconnect listen "$client_domain" again </dev/null >"$sim_work/again") &
    server=$!
    for i in 1 2 3; do
        echo "client $i" | limited_call -t 30 connect "$server_domain" again || status=1
        eventually contains "$sim_work/again" "client $i" || status=1
    done
    # And one that is killed while it is there.
    mkfifo "$sim_work/again.in"
    (call connect "$server_domain" again <"$sim_work/again.in") &
    local victim=$!
    exec 3>"$sim_work/again.in"
    echo "client 4" >&3
    eventually contains "$sim_work/again" "client 4" || status=1
    kill -KILL "$victim"
    wait "$victim" 2>/dev/null
    exec 3>&-
    rm "$sim_work/again.in"
    echo "client 5" | limited_call -t 30 connect "$server_domain" again || status=1
    eventually contains "$sim_work/again" "client 5" || status=1
    stop 143 "$server" && return "$status"
}

# A client that waits for its server to come back, however that went.
next_server() {
    local client server i how status=0
    (call --reconnect connect "$server_domain" back </dev/null >"$sim_work/back") &
    client=$!
    mkfifo "$sim_work/back.in"
    for i in 1 2 3; do
        (serve listen "$client_domain" back <"$sim_work/back.in") &
        server=$!
        exec 3>"$sim_work/back.in"
        echo "server $i" >&3
        eventually contains "$sim_work/back" "server $i" || status=1
        how=KILL
        [ "$i" -eq 2 ] || how=TERM
        kill "-$how" "$server"
        wait "$server" 2>/dev/null
        exec 3>&-
    done
    rm "$sim_work/back.in"
    stop 143 "$client" && return "$status"
}

# An input that ends has been sent, and that is all there was to do.
reconnect_ends() {
    local server status=0
    (serve listen "$client_domain" finished </dev/null >"$sim_work/done") &
    server=$!
    echo everything | limited_call --reconnect -t 30 connect "$server_domain" finished || status=1
    wait "$server" || status=1
    contains "$sim_work/done" everything && return "$status"
}

# A crowd's server is killed; a new one serves those who come next.
server_of_many_dies() {
    local far_pid near_pid status=0
    start_echo "$sim_work/echo.sock" || return
    (call "--unix-listen=$sim_work/near.sock" connect "$server_domain" many </dev/null) &
    near_pid=$!
    eventually test -S "$sim_work/near.sock"
    for _ in 1 2; do
        (serve "--unix=$sim_work/echo.sock" listen "$client_domain" many </dev/null) &
        far_pid=$!
        timeout -k 5 60 python3 "$ends" crowd "$sim_work/near.sock" 5 10000 || status=1
        kill -KILL "$far_pid"
        wait "$far_pid" 2>/dev/null
    done
    # What the dead left in the store is passed over and replaced; at last somebody takes it away.
    (serve "--unix=$sim_work/echo.sock" listen "$client_domain" many </dev/null) &
    far_pid=$!
    timeout -k 5 60 python3 "$ends" crowd "$sim_work/near.sock" 5 10000 || status=1
    stop 143 "$near_pid" "$far_pid" || status=1
    end_echo
    "$sim" exec -- "$tools/xenstore-rm" "$folder"
    return "$status"
}

# signalled NAME: a server with everything open is stopped: its status says by what, and nothing is left of it.
signalled() {
    local server client number
    number=$(kill -l "$1")
    (serve listen "$client_domain" signalled --exec cat </dev/null) &
    server=$!
    mkfifo "$sim_work/signalled"
    (call connect "$server_domain" signalled <"$sim_work/signalled" >"$sim_work/signalled.got") &
    client=$!
    exec 3>"$sim_work/signalled"
    echo there >&3
    eventually contains "$sim_work/signalled.got" there || return
    kill "-$1" "$server"
    wait "$server"
    [ $? -eq $((128 + number)) ] || { echo "another status"; return 1; }
    wait "$client"
    exec 3>&-
    rm "$sim_work/signalled"
    eventually running 0 cat && no_nodes
}

# Started by nohup(1) it outlives its terminal.
hung_up() {
    local server got
    (trap '' HUP; serve listen "$client_domain" hung --exec cat </dev/null) &
    server=$!
    eventually published hung || return
    kill -HUP "$server"
    got=$(echo on | limited_call -t 30 connect "$server_domain" hung)
    stop 143 "$server" && [ "$got" = on ]
}

# What failed until it went well is no failure.
late_right() {
    local server status=0
    (echo late | serve -R listen "$client_domain" /tool/late 2>"$sim_work/late.err") &
    server=$!
    eventually contains "$sim_work/late.err" "/tool/late: Permission denied" || return
    "$sim" exec -- "$tools/xenstore-write" /tool/late '' &&
        "$sim" exec -- "$tools/xenstore-chmod" /tool/late "n$server_domain" "r$client_domain" || return
    [ "$(limited_call -t 30 connect "$server_domain" /tool/late </dev/null)" = late ] || return
    wait "$server" || status=$?
    "$sim" exec -- "$tools/xenstore-rm" /tool/late
    [ "$status" -eq 0 ] || { echo "status $status"; return 1; }
}

# A store that takes a watch and does not answer is not waited for without end.
mute() {
    local store status=0
    python3 "$ends" mute "$sim_work/mute.sock" "$client_domain" &
    store=$!
    eventually test -S "$sim_work/mute.sock" || return
    limited_call -s "$sim_work/mute.sock" connect "$server_domain" mute </dev/null 2>"$sim_work/mute.err" || status=$?
    kill "$store"
    wait "$store" 2>/dev/null
    rm -f "$sim_work/mute.sock"
    [ "$status" -eq 1 ] && contains "$sim_work/mute.err" "mute: Connection timed out"
}

# ---- what is said ----

shows_progress() {
    local server
    random_file shown 1500000
    (serve listen "$client_domain" shown </dev/null >/dev/null) &
    server=$!
    limited_call -t 30 --progress connect "$server_domain" shown <"$sim_work/shown" 2>"$sim_work/shown.err" || return
    wait "$server" || return
    tail -n 1 "$sim_work/shown.err" | grep -Eq '^0 channels, 1\.4 MiB sent, 0 B received, [0-9.]+ [KMG]?i?B/s$' ||
        { cat "$sim_work/shown.err"; return 1; }
}

says_nothing() {
    local server
    (serve listen "$client_domain" quiet </dev/null >/dev/null 2>"$sim_work/quiet.s") &
    server=$!
    echo x | limited_call -q -t 30 connect "$server_domain" quiet 2>"$sim_work/quiet.c" || return
    wait "$server" || return
    [ ! -s "$sim_work/quiet.s" ] && [ ! -s "$sim_work/quiet.c" ]
}

tells() {
    local server
    (serve -v listen "$client_domain" told </dev/null >/dev/null 2>"$sim_work/told") &
    server=$!
    echo x | limited_call -t 30 connect "$server_domain" told || return
    wait "$server" || return
    contains "$sim_work/told" "channel 1: over, 0 bytes sent, 2 received"
}

# wrong_line TEXT ARGUMENT...: a command line that is refused, with its reason.
wrong_line() {
    local text=$1 status=0
    shift
    "$tool" "$@" >/dev/null 2>"$sim_work/wrong" </dev/null || status=$?
    [ "$status" -eq 2 ] || { echo "status $status"; return 1; }
    contains "$sim_work/wrong" "$text"
}

# itself COMMAND: no channel of a domain with itself, which Linux does not survive.
itself() {
    local status=0
    in_domain "$server_domain" "$tool" -t 1 "$1" "$server_domain" itself 2>"$sim_work/wrong" || status=$?
    [ "$status" -eq 2 ] || { echo "status $status"; return 1; }
    contains "$sim_work/wrong" "domain $server_domain is this one"
}

# ---- vchan-socket-proxy ----

# proxy N MODE PEER PATH SOCKET. MALLOC_PERTURB_: as in sim-vchan-proxy.sh.
proxy() {
    MALLOC_PERTURB_=0 exec "$sim" exec --domain "$1" -- "$xen_bin/vchan-socket-proxy" --mode="$2" "$3" "$4" "$5"
}

# Our server between their client and a socket: several connections, one after the other.
proxy_calls() {
    local far_pid near_pid status=0
    start_echo "$sim_work/echo.sock" || return
    (serve "--unix=$sim_work/echo.sock" listen "$client_domain" theirs </dev/null) &
    far_pid=$!
    eventually published theirs
    (proxy "$client_domain" client "$server_domain" "$folder/$client_domain/theirs" "$sim_work/proxy.sock" \
        </dev/null 2>"$sim_work/proxy.err") &
    near_pid=$!
    eventually test -S "$sim_work/proxy.sock" || { cat "$sim_work/proxy.err"; status=1; }
    timeout -k 5 60 python3 "$ends" exact "$sim_work/proxy.sock" 3 100000 || { cat "$sim_work/proxy.err"; status=1; }
    kill "$near_pid"
    wait "$near_pid" 2>/dev/null
    stop 143 "$far_pid" || status=1
    end_echo
    rm -f "$sim_work/proxy.sock"
    return "$status"
}

# And their server, our client.
proxy_serves() {
    local far_pid near_pid status=0
    start_echo "$sim_work/echo.sock" || return
    (proxy "$server_domain" server "$client_domain" "data/vchan/$client_domain/theirs" "$sim_work/echo.sock" \
        </dev/null 2>"$sim_work/proxy.err") &
    far_pid=$!
    (call "--unix-listen=$sim_work/near.sock" connect "$server_domain" theirs </dev/null) &
    near_pid=$!
    eventually test -S "$sim_work/near.sock"
    timeout -k 5 60 python3 "$ends" exact "$sim_work/near.sock" 3 100000 || { cat "$sim_work/proxy.err"; status=1; }
    stop 143 "$near_pid" || status=1
    kill "$far_pid"
    wait "$far_pid" 2>/dev/null
    end_echo
    "$sim" exec -- "$tools/xenstore-rm" "$folder" 2>/dev/null
    return "$status"
}

tap_ok "both ways at once through the smallest rings" both_ways 10:11 300000
tap_ok "both ways at once through rings of 64 KiB" both_ways 16:16 3000000
tap_ok "both ways at once through the largest rings" both_ways 20:20 20000000
tap_ok "both ways at once through a ring that is wiped" both_ways 12:13 300000 --wipe
tap_ok "the end of a question is seen, and its answer comes" question
tap_ok "with a plain peer a question is kept open for its answer" plain_question
tap_ok "an output that fails is reported" output_fails
tap_ok "an output that is closed is reported" output_closed
tap_ok "a peer that closes first ends the other" closes_first
tap_ok "a slow reader gets everything" slow_reader
tap_ok "a process has its own arguments" arguments
tap_ok "a process that fails is reported" exit_status 3 "sh: exit status 7" sh -c 'exit 7'
tap_ok "a process that is killed is reported" exit_status 3 "sh: killed by signal 9" sh -c 'kill -9 $$'
tap_ok "a process that does well is not" exit_status 0 "" true
tap_ok "a program that is not there is reported" exit_status 1 "/nowhere: No such file" /nowhere
tap_ok "each channel has a process of its own" processes
tap_ok "a process that ignores its channel's end is ended" stubborn
tap_ok "a unix socket to a unix socket" crowd unix 1 1000000 client
tap_ok "a TCP port to a TCP port" crowd tcp 1 1000000 client
tap_ok "100 unix connections at once" crowd unix 100 30000 client
tap_ok "100 TCP connections at once" crowd tcp 100 30000 client
tap_ok "more connections than channels take their turns" crowd unix 20 30000 client -n 3
tap_ok "the server takes the connections, the client makes them" crowd unix 1 100000 server
tap_ok "connections without half-close" leavers
tap_ok "a socket that nobody listens to" refused
tap_ok "a connection that no server takes" gives_up
tap_ok "a socket that is left is taken over" stale_socket
tap_ok "the server is killed" killed server
tap_ok "the client is killed" killed client
tap_ok "a server waits for its next client" next_client
tap_ok "a client waits for its server to come back" next_server
tap_ok "reconnecting ends with the input" reconnect_ends
tap_ok "the server of many is killed" server_of_many_dies
for name in INT TERM HUP; do
    tap_ok "stopped by SIG$name" signalled "$name"
done
tap_ok "a hangup that is ignored at the start" hung_up
tap_ok "what failed until there was a channel is no failure" late_right
tap_ok "a store that does not answer" mute
tap_ok "progress is shown" shows_progress
tap_ok "nothing is said when all is well" says_nothing
tap_ok "channels are told of" tells
tap_ok "no other address than loopback" wrong_line "192.0.2.1:80: Cannot assign" --tcp 192.0.2.1:80 listen 1 x
tap_ok "no port" wrong_line "99999: Invalid argument" --tcp-listen 99999 listen 1 x
tap_ok "two ends" wrong_line "a channel has one end here" --unix x --exec cat
tap_ok "no command" wrong_line "--exec needs a command" listen 1 x --exec
tap_ok "no such duty" wrong_line "neither listen nor connect" lisen 1 x
tap_ok "no domain" wrong_line "no number of a domain" listen x y
tap_ok "orders for which the page has no room" wrong_line "not both orders can be" -l 10 -r 20 listen 1 x
tap_ok "two rings in one place of the page" wrong_line "not both orders can be" -l 11 -r 11 listen 1 x
tap_ok "a server for its own domain" itself listen
tap_ok "a client of its own domain" itself connect
tap_ok "no order" wrong_line "an order is a number" -l 21 listen 1 x
tap_ok "vchan-socket-proxy calls our server" proxy_calls
tap_ok "our client calls vchan-socket-proxy" proxy_serves
tap_ok "no node is left" no_nodes
tap_ok "no program is left" eventually running 0 xids-vchan
tap_ok "no port, grant or mapping is left" eventually same_usage "$before"
tap_done
