#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# xids-entropy-agent in guests of a simulated machine: what it gives to their kernels, when, and what it says. The kernel
# is fake_kernel.c's.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"

sim_need_debian

agent=$XIDS_BUILDDIR/xids-entropy-agent
fake=$XIDS_BUILDDIR/tests/interop/.libs/fake_kernel.so

# in_guest N COMMAND...: with the fake kernel of guest N.
in_guest() {
    local n=$1
    shift
    FAKE_KERNEL=$sim_work/kernel.$n FAKE_RESUME=$sim_work/resume.$n LD_PRELOAD=$fake \
        ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 timeout -k 5 60 "$sim" exec --domain "$n" -- "$@" </dev/null
}

start_randomd() {
    "$sim" exec -- "$XIDS_BUILDDIR/xids-randomd" --foreground --control "$sim_work/control" \
        >>"$sim_work/randomd.log" 2>&1 </dev/null &
    randomd=$!
    disown $!
    echo "$randomd" >"$sim_work/randomd.pid"
    eventually in_domain 0 "$XIDS_BUILDDIR/xids-randomd" --control "$sim_work/control" --status
}

end_randomd() {
    local pid
    pid=$(cat "$sim_work/randomd.pid")
    kill "-$1" "$pid" && eventually gone "$pid"
}

# fed N COUNT: guest N's kernel has been given so many times, 64 bytes and 256 bits each and never the same, each with
# the word to use it at once.
fed() {
    local file=$sim_work/kernel.$1
    if [ "$(grep -cE "^add 256 64 [0-9a-f]{16}$" "$file")" -lt "$2" ] ||
        [ "$(sort "$file" | grep ^add | uniq -d | wc -l)" -gt 0 ] ||
        [ "$(grep -c '^reseed$' "$file")" -ne "$(grep -c '^add' "$file")" ] || [ "$(tail -n 1 "$file")" != reseed ]; then
        cat "$file"
        return 1
    fi
}

count() {
    grep -c "^add" "$sim_work/kernel.$1"
}

once() {
    in_guest "$1" "$agent" --once && fed "$1" 1
}

too_late() {
    in_guest 1 "$agent" --once --timeout 1 2>"$sim_work/late"
    [ $? -eq 1 ] && contains "$sim_work/late" "no entropy server in time" && [ ! -s "$sim_work/kernel.1" ]
}

stay() {
    (
        FAKE_KERNEL=$sim_work/kernel.$1 FAKE_RESUME=$sim_work/resume.$1 LD_PRELOAD=$fake \
            ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 \
            exec "$sim" exec --domain "$1" -- "$agent" --foreground >"$sim_work/stay.$1" 2>&1 </dev/null
    ) &
    echo $! >"$sim_work/agent.$1"
    disown $!
}

# fed_after N COMMAND...: and the kernel gets something new.
fed_after() {
    local n=$1 before
    before=$(count "$n")
    shift
    "$@" && eventually fed "$n" $((before + 1))
}

resume() {
    printf 12345678 >"$sim_work/resume.$1"
}

restart_and_resume() {
    end_randomd "$1" && start_randomd && resume 1
}

begins_anew() {
    fed_after 1 resume 1 && contains "$sim_work/stay.1" "beginning anew"
}

refused() {
    FAKE_REFUSE=1 in_guest 2 "$agent" --once 2>"$sim_work/refused"
    [ $? -eq 1 ] && contains "$sim_work/refused" "/dev/random does not take what it is given: Operation not permitted"
}

no_credit() {
    in_guest 3 "$agent" --once --no-credit && contains "$sim_work/kernel.3" "add 0 64 "
}

usage_error() {
    local text=$1
    shift
    "$agent" "$@" 2>"$sim_work/usage" </dev/null
    [ $? -eq 2 ] && contains "$sim_work/usage" "$text"
}

in_background() {
    local pid
    in_guest 4 "$agent" && fed 4 1 || return 1
    for pid in $(machine_pids xids-entropy-ag); do
        ! grep -qzx XIDS_SIM_DOMID=4 "/proc/$pid/environ" || break
    done
    kill -TERM "$pid" && eventually gone "$pid"
}

ends() {
    local pid
    pid=$(cat "$sim_work/agent.$1")
    kill -TERM "$pid" && eventually gone "$pid"
}

sim_begin
need_store xids-xenstored
for i in 1 2 3 4; do
    "$sim" domain create --name "guest$i" >/dev/null
    mkfifo "$sim_work/resume.$i"
    : >"$sim_work/kernel.$i"
done
before=$(usage)
tap_ok "without a server it says so, and gives nothing" too_late
stay 1
tap_ok "randomd starts" start_randomd
tap_ok "who waited is served then" eventually fed 1 1
tap_ok "once: another guest is fed" once 2
tap_ok "what two guests are given differs" eval "[ \"\$(cat '$sim_work'/kernel.[12] | grep ^add | sort | uniq -d | wc -l)\" -eq 0 ]"
tap_ok "when the machine was resumed the kernel gets fresh bytes" begins_anew
tap_ok "and when it was resumed once more" begins_anew
tap_ok "also of a server that was killed and restarted" fed_after 1 restart_and_resume KILL
tap_ok "and of one that was stopped and restarted" fed_after 1 restart_and_resume TERM
tap_ok "a kernel that takes nothing is an error" refused
tap_ok "without credit no bits are claimed" no_credit
tap_ok "in the background it returns when the kernel was fed" in_background
tap_ok "wrong options: an unknown one" usage_error usage: --nonsense
tap_ok "wrong options: a word too many" usage_error usage: more
tap_ok "wrong options: a time that is none" usage_error "--timeout: seconds" --once --timeout soon
tap_ok "wrong options: a time without --once" usage_error "--timeout goes with --once" --timeout 3
tap_ok "it ends when told" ends 1
end_randomd TERM
tap_ok "no grant, port or page is left" eventually same_usage "$before"
tap_done
