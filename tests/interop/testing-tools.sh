#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Debian's unmodified libxenstore programs against a test store, which they find by XENSTORED_PATH; and the howto's
# program that has no framework. Speaks TAP.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
run=$XIDS_BUILDDIR/tests/interop/testing_exec

prints() {
    local want=$1 got
    shift
    got=$("$@" </dev/null 2>&1)
    [ "$got" = "$want" ] || { printf 'got: %s\nnot: %s\n' "$got" "$want"; return 1; }
}

fails() {
    ! "$@" </dev/null
}

tap_ok "the howto's program without a framework works" prints "0 hello" "$XIDS_BUILDDIR/docs/howto/store-testing-plain"
if debian=$("$XIDS_SRCDIR/tests/interop/debian-xen.sh" 2>/dev/null); then
    tools=$debian/usr/bin
    bin=$debian/usr/lib/xen-4.17/bin
    for mode in thread forked; do
        tap_ok "$mode: xenstore-write writes, and the harness sees it" \
            prints "$(printf '/left = "" (n0)\n/left/a = "1" (n0)\ndom0.1 WRITE /left/a "1" -> OK')" \
            "$run" $mode 0 "$tools/xenstore-write" /left/a 1
        tap_ok "$mode: programs one after the other share the store" \
            prints "$(printf '1\ndom0.2 READ /a -> OK')" \
            "$run" $mode 0 sh -c "'$tools/xenstore-write' /a 1 && '$tools/xenstore-read' /a"
        tap_ok "$mode: xenstore-watch is told" prints "$(printf '/w\ndom0.1 WATCH /w /w -> OK')" \
            "$run" $mode 0 timeout 60 "$tools/xenstore-watch" -n 1 /w
        tap_ok "$mode: test-xenstore passes" "$run" $mode 0 "$bin/test-xenstore"
        tap_ok "$mode: a guest's program writes what it owns" \
            prints "dom5.1 WRITE data/x \"1\" -> OK" "$run" $mode 5 "$tools/xenstore-write" data/x 1
        tap_ok "$mode: and nothing else" fails "$run" $mode 5 "$tools/xenstore-write" /left/x 1
    done
else
    tap_skip "Debian's tools" "they cannot be downloaded"
fi
tap_done
