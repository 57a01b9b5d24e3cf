#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# The demo of ./quickstart: that it ends as it must, and that whenever it is interrupted it leaves nothing behind: no
# process of its own, no folder.
set -u
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
demo=$XIDS_SRCDIR/sim/demo.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/xids-test-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Waits for everything that belongs to the demo's folder to be gone, and says what is not.
nothing_left() {
    local folder=$1 i left
    for ((i = 0; i < 1000; i++)); do
        left=$(grep -lzs "^XIDS_SIM_DIR=$folder" /proc/[0-9]*/environ)
        [ -n "$left" ] || [ -e "$folder" ] || return 0
        sleep 0.02
    done
    printf 'left behind: %s %s\n' "$folder" "$left"
    return 1
}

plays() {
    local status=0 pid
    "$demo" >"$work/out" 2>&1 </dev/null &
    pid=$!
    wait "$pid" || status=$?
    nothing_left "/tmp/xids-demo.$pid" || status=1
    [ "$status" -eq 0 ] && [ "$(tail -n 1 "$work/out")" = "demo: 3 guests seeded over vchan" ] &&
        [ "$(grep -c 'seed fingerprint [0-9a-f]\{16\}' "$work/out")" -eq 3 ] &&
        [ "$(grep -o 'fingerprint [0-9a-f]*' "$work/out" | sort -u | wc -l)" -eq 3 ] && return
    cat "$work/out"
    return 1
}

# interrupted SIGNAL SECONDS: in a group of its own, where bash does not make it deaf to SIGINT.
interrupted() {
    local pid status=0
    set -m
    "$demo" >"$work/out" 2>&1 </dev/null &
    pid=$!
    set +m
    sleep "$2"
    kill -"$1" "$pid" 2>/dev/null
    wait "$pid" || status=$?
    nothing_left "/tmp/xids-demo.$pid" || return 1
    # It may have been done before the signal came.
    [ "$status" -eq 0 ] || [ "$status" -eq 130 ] || [ "$status" -eq 143 ] || { cat "$work/out"; return 1; }
}

tap_ok "three guests get their entropy, each its own" plays
for seconds in 0.005 0.02 0.04 0.06 0.09 0.12 0.2; do
    tap_ok "SIGINT after $seconds s leaves nothing behind" interrupted INT "$seconds"
    tap_ok "SIGTERM after $seconds s leaves nothing behind" interrupted TERM "$seconds"
done
tap_done
