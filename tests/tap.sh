# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# For tests that are shell scripts: source it, call tap_ok or tap_skip for each case, end with tap_done.
#
# make check sets XIDS_SRCDIR and XIDS_BUILDDIR (absolute), CC and CXX. What is run must read from /dev/null where it
# would read the terminal.

tap_count=0
tap_failed=0

# tap_ok NAME COMMAND...: one case; passes when the command returns 0, else shows what it printed.
tap_ok() {
    local name=$1 out status
    shift
    out=$("$@" 2>&1) && status=0 || status=$?
    tap_count=$((tap_count + 1))
    if [ "$status" -eq 0 ]; then
        printf 'ok %d - %s\n' "$tap_count" "$name"
    else
        tap_failed=$((tap_failed + 1))
        printf '%s\n(exit status %d)\n' "$out" "$status" | sed 's/^/# /'
        printf 'not ok %d - %s\n' "$tap_count" "$name"
    fi
}

# tap_skip NAME REASON: a case that cannot run here, counted as skipped.
tap_skip() {
    tap_count=$((tap_count + 1))
    printf 'ok %d - %s # SKIP %s\n' "$tap_count" "$1" "$2"
}

# tap_done: the plan. Call it last: without it the driver reports an error, so that a script that dies is noticed.
tap_done() {
    printf '1..%d\n' "$tap_count"
    [ "$tap_failed" -eq 0 ]
}
