#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# xids-randomd with sources of entropy that work and that do not, and with a kernel's generator that is not ready or
# fails: guests are served when and only when the kernel's works, whatever the others do, and the status tells the truth.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

randomd=$XIDS_BUILDDIR/xids-randomd
demo=$XIDS_BUILDDIR/xids-entropy-demo
fake=$XIDS_BUILDDIR/tests/interop/fake-source
fake_getrandom=$XIDS_BUILDDIR/tests/interop/.libs/fake_getrandom.so

# A case runs in a subshell, so what must outlive it is in files.
start_randomd() {
    FAKE_GETRANDOM=$sim_work/kernel LD_PRELOAD=$fake_getrandom \
        ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 \
        "$sim" exec -- "$randomd" --foreground --log-level debug --config "$sim_work/conf" --control "$sim_work/control" \
        >>"$sim_work/log" 2>&1 </dev/null &
    echo $! >"$sim_work/pid"
    disown $!
    eventually status || { cat "$sim_work/log"; return 1; }
}

end_randomd() {
    local pid
    pid=$(cat "$sim_work/pid")
    kill "-$1" "$pid" && eventually gone "$pid"
}

status() {
    in_domain 0 "$randomd" --control "$sim_work/control" --status
}

# kernel MODE: what the kernel's generator does from now on.
kernel() {
    echo "$1" >"$sim_work/kernel.new" && mv "$sim_work/kernel.new" "$sim_work/kernel"
}

# source_is NAME STATE
source_is() {
    local all
    all=$(status)
    [[ $all =~ \"name\":\"$1\",\"type\":\"[a-z]+\",\"state\":\"$2\" ]] || { echo "$all"; return 1; }
}

status_says() {
    local all
    all=$(status)
    [[ $all == *"$1"* ]] || { echo "$all"; return 1; }
}

# provide NAME KIND MODE: a fake source at $sim_work/NAME.
provide() {
    "$fake" "$2" "$sim_work/$1" "$3" </dev/null >/dev/null 2>&1 &
    echo $! >"$sim_work/fake.$1"
    echo $! >>"$sim_work/fakes"
    disown $!
    eventually test -e "$sim_work/$1"
}

end_fake() {
    local pid
    pid=$(cat "$sim_work/fake.$1")
    kill -KILL "$pid" && eventually gone "$pid"
}

end_all() {
    local pid
    [ ! -e "$sim_work/fakes" ] || while read -r pid; do
        kill -KILL "$pid" 2>/dev/null
    done <"$sim_work/fakes"
    sim_end
}

# section NAME TYPE [LEAF]
section() {
    printf '[source %s]\ntype = %s\n' "$1" "$2"
    [ -z "${3-}" ] || echo "path = $sim_work/$3"
}

# seeded N: a program in guest N gets its seed, and it is a new one.
seeded() {
    local line
    line=$(in_domain "$1" "$demo" --pull 4096 --timeout 20) || { echo "$line"; return 1; }
    [[ $line =~ "seed fingerprint "([0-9a-f]{16})" grade HOST" ]] || { echo "$line"; return 1; }
    ! grep -q "${BASH_REMATCH[1]}" "$sim_work/fingerprints" || { echo "a second time: $line"; return 1; }
    echo "${BASH_REMATCH[1]}" >>"$sim_work/fingerprints"
}

not_seeded() {
    local out
    out=$(in_domain "$1" "$demo" --pull 64 --timeout 1 2>&1) && { echo "$out"; return 1; }
    [[ $out != *"grade HOST"* ]] || { echo "$out"; return 1; }
}

# A guest that stays until it has its seed; its line goes to stay.N.
stay() {
    "$sim" exec --domain "$1" -- "$demo" --stay --pull 64 --timeout 60 >"$sim_work/stay.$1" 2>&1 </dev/null &
    echo $! >"$sim_work/stayer"
    disown $!
}

stayer_ends() {
    local pid
    pid=$(cat "$sim_work/stayer")
    kill -TERM "$pid" && eventually gone "$pid"
}

warned() {
    local n
    n=$(grep -c "warning: source $1 " "$sim_work/log")
    [ "$n" -eq "$2" ] || { echo "$n lines"; cat "$sim_work/log"; return 1; }
}

seed_sum() {
    cksum <"$sim_work/seed"
}

# The saved seed is not the one it was: $1.
seed_changed() {
    [ "$(seed_sum)" != "$1" ] && [ "$(stat -c %s:%a "$sim_work/seed")" = 64:600 ]
}

refused() {
    in_domain 0 "$randomd" --foreground --config "$sim_work/bad" --control "$sim_work/control2" 2>"$sim_work/said"
    [ $? -eq 2 ] && contains "$sim_work/said" "$sim_work/bad: line $1: $2"
}

kernel_cases() {
    local before mode
    provide egd egd fine
    provide tpm tpm fine
    provide pipe pipe fine
    head -c 64 /dev/urandom >"$sim_work/seed" && chmod 600 "$sim_work/seed"
    before=$(seed_sum)
    { section gatherer egd egd; section chip tpm tpm; section device hwrng pipe; section time jitter
      section saved file seed; } >"$sim_work/conf"
    grep -q ' rdseed' /proc/cpuinfo && section cpu rdseed >>"$sim_work/conf"

    kernel EAGAIN
    tap_ok "the daemon starts while the kernel's generator is not ready" start_randomd
    tap_ok "and says so" eval 'status_says "\"ready\":false" && source_is kernel "not ready" && status_says "\"alarm\":true"'
    for name in gatherer chip device saved; do
        tap_ok "source $name passes its tests" eventually source_is "$name" good
    done
    ! grep -q ' rdseed' /proc/cpuinfo || tap_ok "source cpu passes its tests" eventually source_is cpu good
    tap_ok "they do not make up for the kernel: no guest is seeded" not_seeded 1
    tap_ok "the saved seed was replaced before its use" seed_changed "$before"
    stay 2
    tap_ok "a guest waits" eventually status_says '"domid":2,"state":"connected"'
    kernel ok
    tap_ok "it is seeded when the kernel is ready" eventually grep -q 'grade HOST' "$sim_work/stay.2"
    tap_ok "and ends" stayer_ends
    tap_ok "the status says ready" eventually status_says '"ready":true'
    tap_ok "and the kernel's generator is good" source_is kernel good
    tap_ok "others are seeded" seeded 1
    for mode in EIO ENOSYS stuck EAGAIN; do
        kernel "$mode"
        tap_ok "$mode: no guest is seeded" not_seeded 1
        if [ "$mode" = EAGAIN ]; then
            tap_ok "$mode: the status says not ready" source_is kernel "not ready"
        else
            tap_ok "$mode: the status says failed" source_is kernel failed
        fi
        kernel ok
        tap_ok "$mode: guests are seeded when it is over" seeded 1
    done
    kernel short
    tap_ok "short answers are put together" eval 'seeded 1 && seeded 1'
    kernel ok
    before=$(seed_sum)
    tap_ok "the daemon is killed" end_randomd KILL
    tap_ok "it starts again" start_randomd
    tap_ok "and takes the seed that the killed one left" eventually source_is saved good
    tap_ok "which is replaced" seed_changed "$before"
    before=$(seed_sum)
    tap_ok "the daemon stops" end_randomd TERM
    tap_ok "and leaves a new seed" seed_changed "$before"
    tap_ok "no source was at fault" eval 'warned ".*" 0'
}

fault_cases() {
    : >"$sim_work/log"
    for mode in fine stuck biased silent short gone dribble; do
        provide "egd-$mode" egd "$mode"
        section "$mode" egd "egd-$mode"
    done >"$sim_work/conf"
    provide lying tpm more
    section lying tpm lying >>"$sim_work/conf"
    tap_ok "the daemon starts with sources that fail" start_randomd
    tap_ok "guests are seeded" eval 'seeded 1 && seeded 2'
    tap_ok "the one that works is good" eventually source_is fine good
    tap_ok "the stuck one is condemned" eventually source_is stuck condemned
    tap_ok "the biased one is out" eventually source_is biased '(failed|condemned)'
    for name in short gone lying; do
        tap_ok "$name: has failed" eventually source_is "$name" failed
    done
    end_fake egd-short
    provide egd-short egd fine
    tap_ok "one that failed at first is good once it works" eventually source_is short good
    tap_ok "one that dribbles is good" eventually source_is dribble good
    end_fake egd-fine
    in_domain 0 "$randomd" --control "$sim_work/control" --reseed >/dev/null
    tap_ok "one that goes away has failed" eventually source_is fine failed
    provide egd-fine egd fine
    tap_ok "and is good again when it is back" eventually source_is fine good
    tap_ok "the silent one is given up" eventually source_is silent failed
    tap_ok "guests are seeded all the time" eval 'seeded 1 && seeded 2'
    tap_ok "one line of log for the stuck one" warned stuck 1
    tap_ok "and one for one that fails again and again" warned short 1
    tap_ok "the daemon stops, though one is silent" end_randomd TERM
}

# A TPM that is not ours.
swtpm_case() {
    if ! command -v swtpm >/dev/null; then
        tap_skip "a software TPM is good" "swtpm is not installed"
        return
    fi
    mkdir "$sim_work/tpm-state"
    swtpm socket --tpm2 --tpmstate "dir=$sim_work/tpm-state" --server "type=unixio,path=$sim_work/swtpm" \
        --flags not-need-init,startup-clear </dev/null >"$sim_work/swtpm.log" 2>&1 &
    echo $! >>"$sim_work/fakes"
    disown $!
    eventually test -S "$sim_work/swtpm"
    section chip tpm swtpm >"$sim_work/conf"
    tap_ok "the daemon starts with a software TPM" start_randomd
    tap_ok "a software TPM is good" eventually source_is chip good
    tap_ok "the daemon stops" end_randomd TERM
}

settings_cases() {
    printf '[randomd]\nmax-guests = 7\n\n[source a]\ntype = magic\n' >"$sim_work/bad"
    tap_ok "an unknown type is refused with its line" refused 5 'type cannot be "magic"'
    printf '[source a]\ntype = egd\n[randomd]\nmax-guests = 7\n' >"$sim_work/bad"
    tap_ok "so is a source without its path" refused 2 '[source a]: egd needs a path'
    printf '[source a]\npath = /x\n' >"$sim_work/bad"
    tap_ok "and one without a type" refused 2 '[source a] has no type'
    printf '[source a]\ntype = jitter\n\nentropy = 0.3\n' >"$sim_work/bad"
    tap_ok "and an impossible entropy" refused 4 'entropy cannot be "0.3"'
    printf '[source a]\ntype = jitter\nentropy = 9\n' >"$sim_work/bad"
    tap_ok "and too much of it" refused 2 '[source a]: entropy is at most 8 bits'
    printf '[source a]\ntype = rdseed\npath = /dev/cpu\n' >"$sim_work/bad"
    tap_ok "and a path that has no use" refused 2 '[source a]: rdseed has no path'
    printf '[source a]\ntype = jitter\nspeed = 1\n' >"$sim_work/bad"
    tap_ok "and an unknown setting" refused 3 'no such setting of a source: speed'
    printf '[source a b]\ntype = jitter\n' >"$sim_work/bad"
    tap_ok "and a name that is none" refused 2 '[source a b]: a name is'
    for i in 1 2 3 4 5 6 7 8 9; do
        printf '[source s%u]\ntype = jitter\n' "$i"
    done >"$sim_work/bad"
    tap_ok "and a ninth source" refused 18 '[source s9]: there can be 8 sources'
    printf '[randomd]\nmax-guests = many\n' >"$sim_work/bad"
    tap_ok "other settings are refused with their line too" refused 2 'max-guests cannot be "many"'
    printf '[randomd]\n\nnonsense\n' >"$sim_work/bad"
    tap_ok "and what is no setting" refused 3 'not a setting'
}

sim_begin
trap end_all EXIT
need_store xids-xenstored
for i in 1 2; do
    "$sim" domain create --name "guest$i" >/dev/null
done
touch "$sim_work/fingerprints"
kernel_cases
fault_cases
swtpm_case
settings_cases
tap_done
