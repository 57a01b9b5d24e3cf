#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# What xids-randomd can be asked while it serves, and its settings read again. Speaks TAP.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

randomd=$XIDS_BUILDDIR/xids-randomd
demo=$XIDS_BUILDDIR/xids-entropy-demo

ask() {
    in_domain 0 "$randomd" --control "$sim_work/control" "$@"
}

start_randomd() {
    "$sim" exec -- "$randomd" --foreground --config "$sim_work/config" --control "$sim_work/control" "$@" \
        >>"$sim_work/randomd.log" 2>&1 </dev/null &
    echo $! >"$sim_work/randomd.pid"
    disown $!
    eventually ask --status || { cat "$sim_work/randomd.log"; return 1; }
}

# A case runs in a subshell, so what must outlive it is in files.
daemon() {
    cat "$sim_work/randomd.pid"
}

# answers TEXT OPTION...: the answer has it.
answers() {
    local text=$1 got
    shift
    got=$(ask "$@") || { echo "status $?: $got"; return 1; }
    [[ $got == *"$text"* ]] || { printf 'answer: %s\n' "$got"; return 1; }
}

# refuses TEXT OPTION...: says why, and the exit status does too.
refuses() {
    local text=$1 got status=0
    shift
    got=$(ask "$@" 2>&1 >/dev/null) || status=$?
    printf 'status %d, said: %s\n' "$status" "$got"
    [ "$status" -eq 1 ] && [[ $got == *"$text"* ]]
}

# wrong OPTION...: is no way to call it.
wrong() {
    local status=0
    "$randomd" "$@" </dev/null >/dev/null 2>&1 || status=$?
    [ "$status" -eq 2 ] || { echo "status $status"; return 1; }
}

epoch() {
    ask --status "$1" | sed -n 's/.*"epoch":"\([0-9a-f]\{16\}\)".*/\1/p'
}

# new_epoch DOMID COMMAND...: after it the guest's epoch is another one, and not 0.
new_epoch() {
    local before after domid=$1
    shift
    before=$(epoch "$domid")
    "$@" || return 1
    after=$(epoch "$domid")
    echo "from $before to $after"
    [ -n "$before" ] && [ -n "$after" ] && [ "$before" != "$after" ] && [ "$after" != 0000000000000000 ]
}

same_epoch() {
    local before domid=$1
    shift
    before=$(epoch "$domid")
    [ -n "$before" ] && "$@" && prints "$before" epoch "$domid"
}

gets() {
    ask --status "$1" | sed -n 's/.*"gets":\([0-9]*\).*/\1/p'
}

more_gets() {
    [ "$(gets "$1")" -gt "$2" ]
}

# A guest that is told of the new epoch asks for new bytes.
asks_anew() {
    local before
    before=$(gets 1)
    "$@" && eventually more_gets 1 "$before"
}

# Every guest is in the whole answer once, which is JSON to a program of others.
whole() {
    ask --status >"$sim_work/status" && python3 - "$sim_work/status" "$1" <<'END'
import json, sys
status = json.load(open(sys.argv[1]))
domids = [g["domid"] for g in status["guests"]]
assert domids == list(range(1, int(sys.argv[2]) + 1)), domids
assert status["guest-count"] == len(domids), status
assert "counters" in status and status["program"] == "xids-randomd"
END
}

# Who does not read the answer does not keep anybody waiting, nor for ever: the daemon hangs up.
slow_reader() {
    python3 - "$sim_work/control" <<'END'
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
s.connect(sys.argv[1])
s.sendall(b"status\n")
others = [socket.socket(socket.AF_UNIX) for i in range(7)]
for o in others:
    o.connect(sys.argv[1])
others[0].sendall(b"status 1\n")
assert others[0].makefile().readline().startswith('{"domid":1,')
END
}

log_has() {
    contains "$sim_work/randomd.log" "$1"
}

sim_begin
need_store xids-xenstored
guests=200 # more than one piece of an answer
cat >"$sim_work/config" <<END
[randomd]
log-level = info
END
for ((i = 1; i <= guests; i++)); do
    "$sim" domain create --domid "$i" --name "guest$i" >/dev/null
done
tap_ok "the daemon starts" start_randomd
all_served() {
    answers "\"guest-count\":$guests}" --summary
}
tap_ok "all guests are served, says the summary" eventually all_served
tap_ok "which has none of them" fails answers '"guests"' --summary
tap_ok "the status has each one once" whole "$guests"
tap_ok "and can be had of one" answers '{"domid":7,"state":"offered"' --status 7
tap_ok "not of one that is not there" refuses "no such guest" --status 777
tap_ok "nor of something else" refuses "not a number of a domain" --status 7x
tap_ok "nor of what is no domain" refuses "not a number of a domain" --status 99999
tap_ok "a reader that is slow keeps nobody waiting" slow_reader

"$sim" exec --domain 1 -- "$demo" --stay --pull 4096 --timeout 20 >"$sim_work/stay" 2>&1 </dev/null &
stayer=$!
tap_ok "a guest is connected" eventually grep -q 'grade HOST' "$sim_work/stay"
tap_ok "one guest is reseeded" new_epoch 1 answers '{"reseeded":1,"failed":0}' --reseed 1
tap_ok "only that one" same_epoch 2 answers '{"reseeded":1,"failed":0}' --reseed 1
tap_ok "it hears so, and asks for new bytes" asks_anew answers '{"reseeded":1' --reseed 1
tap_ok "all guests are reseeded" new_epoch 1 answers "{\"reseeded\":$guests,\"failed\":0}" --reseed
tap_ok "also those that nobody has come for yet" new_epoch 2 answers "{\"reseeded\":$guests,\"failed\":0}" --reseed
tap_ok "a guest that was restored is given a new generator" new_epoch 1 answers '{"restored":1}' --restored 1
tap_ok "and asks for new bytes" asks_anew answers '{"restored":1}' --restored 1
tap_ok "there is no restored guest that is not there" refuses "no such guest" --restored 777
tap_ok "a guest that was there all the time is on the same channel" prints 1 grep -c 'grade HOST' "$sim_work/stay"

tap_ok "the level of the log changes" answers '{"log-level":"debug"}' --set-log-level debug
tap_ok "but only to one that there is" refuses "not a level" --set-log-level loud
printf '[randomd]\nlog-level = warning\nreseed-seconds = 30\n' >"$sim_work/config"
tap_ok "the settings are read again" answers '{"changed":2,"needs-restart":0}' --reload
tap_ok "which changes nothing the second time" answers '{"changed":0,"needs-restart":0}' --reload
printf '[randomd]\nlog-level = info\nreseed-seconds = none\n' >"$sim_work/config"
tap_ok "wrong settings are refused" refuses "nothing was changed" --reload
tap_ok "and the log says what is wrong" log_has 'reseed-seconds cannot be "none"'
tap_ok "and what it could be" log_has 'reseed-seconds cannot be "none", but a number from 1 to 60'
tap_ok "as a check of them does" wrong --config "$sim_work/config" --check-config
for line in 'audit = log/audit' 'control = randomd.sock' 'control =' 'legacy = yes' 'discover = all'; do
    printf '[randomd]\n%s\n' "$line" >"$sim_work/config"
    tap_ok "and of $line" wrong --config "$sim_work/config" --check-config
done
printf '[randomd]\nlog-level = info\n' >"$sim_work/config"
tap_ok "which is content with right ones" "$randomd" --config "$sim_work/config" --check-config
tap_ok "and with the example" "$randomd" --config "$XIDS_SRCDIR/dist/xids-randomd.conf" --check-config
kill -HUP "$(daemon)"
tap_ok "SIGHUP reads them again too" eventually log_has "settings read again: 2 changed"
tap_ok "the daemon serves on" answers '{"domid":1,"state":"connected"' --status 1

# ---- as many guests as there may be ----

more_guests() {
    printf '[randomd]\nlog-level = info\nmax-guests = %d\n' "$1" >"$sim_work/config"
    answers '{"changed":1,"needs-restart":0}' --reload
}
turned_away() {
    local domid=$1
    "$sim" domain create --domid "$domid" --name "guest$domid" >/dev/null &&
        eventually log_has "domain $domid: no more than" && refuses "no such guest" --status "$domid"
}
is_served() {
    answers "{\"domid\":$1,\"state\":\"offered\"" --status "$1"
}
tap_ok "there can be no more guests than there are" more_guests "$guests"
tap_ok "so that another one is turned away" turned_away 301
"$sim" domain destroy "$guests"
tap_ok "until one goes" eventually is_served 301
tap_ok "one more is turned away" turned_away 302
tap_ok "until there can be more" more_guests 1000
tap_ok "without anything else that happens" eventually is_served 302

# ---- who does not answer ----

kill -STOP "$(machine_pids xids-xenstored)"
tap_ok "that a guest was restored is not answered for ever when xenstored does not tell of its page" \
    refuses "domain 1: " --restored 1
tap_ok "other requests are answered meanwhile" answers '"domid":1' --status 1
kill -CONT "$(machine_pids xids-xenstored)"
back_again() {
    answers '"store":true' --summary
}
tap_ok "xenstored is back" eventually back_again
tap_ok "and a restored guest is heard of again" answers '{"restored":1}' --restored 1
kill -STOP "$(daemon)"
tap_ok "who asks a daemon that hangs is told so" refuses "does not answer" --summary
kill -CONT "$(daemon)"
tap_ok "when it goes on it answers" answers '"guest-count":' --summary

tap_ok "an operand where there is none is wrong" wrong --reload 1
tap_ok "so is none where there is one" wrong --restored
tap_ok "so are two requests" wrong --reload --status
tap_ok "so is an option that there is not" wrong --nonsense
unknown() {
    python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode() + b"\n")
print(s.makefile().read(), end="")' "$sim_work/control" "$1"
}
tap_ok "an unknown request is answered so" prints '{"error":"unknown request"}' unknown nonsense
tap_ok "a request without its operand, too" prints '{"error":"the request lacks its operand"}' unknown restored
tap_ok "one with an operand too many, too" prints '{"error":"the request has no operand"}' unknown "reload now"

# ---- the sandbox ----

# holds FIELD VALUE: of the daemon's /proc/PID/status.
holds() {
    prints "$2" sed -n "s/^$1:[[:space:]]*//p" "/proc/$(daemon)/status"
}
if "$XIDS_BUILDDIR/config.status" --config | grep -q with-sanitizer=; then
    tap_skip "the sandbox" "a build with a sanitizer has none"
else
    tap_ok "it says that it is in its sandbox" answers '"sandbox":true' --summary
    tap_ok "which filters its system calls" holds Seccomp 2
    tap_ok "for good" holds NoNewPrivs 1
    if [ "$(id -u)" -eq 0 ]; then
        tap_ok "of root's capabilities it keeps the one to lock memory" holds CapEff 0000000000004000
        tap_ok "and can get no other" holds CapBnd 0000000000004000
    else
        tap_skip "capabilities" "not root"
    fi
fi

pid=$(daemon)
kill -TERM "$stayer" "$pid"
tap_ok "it ends" eventually gone "$pid"
tap_ok "and cannot be asked" fails ask --status
tap_ok "which is said" refuses "no xids-randomd serves there" --status

# In the background it is in another folder, and removes its socket all the same.
relative() {
    local pid
    cd "$sim_work" && in_domain 0 "$randomd" --config "$sim_work/config" --control relative && test -S relative || return 1
    pid=$(pgrep -f -- "--config $sim_work/config --control relative\$") && kill -TERM "$pid" && eventually gone "$pid" &&
        [ ! -e relative ]
}
tap_ok "the socket's path can begin in this folder" relative
tap_ok "without a sandbox it starts too" start_randomd --no-sandbox
tap_ok "and says so" answers '"sandbox":false' --summary
tap_ok "nothing is filtered" holds Seccomp 0
pid=$(daemon)
kill -TERM "$pid"
tap_ok "it ends there too" eventually gone "$pid"
sim_end
tap_done
