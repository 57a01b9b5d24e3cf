#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: summary.sh BUILD STATUS
#
# Sums up a finished `make check` in the build directory, whose exit status was STATUS: prints the log of each test
# program that failed, what was skipped, and how many cases a peer is known not to pass and did not; then the one line
# "N passed, N failed[, N skipped]", in which those do not count. Returns 0 when nothing failed. No test at all, or a make
# that failed though no test did, counts as a failure.
set -u
cd "$1" || exit 1
status=$2

# Results of other builds that lie below this one are not its own.
results() {
    find . \( -path ./cache -o -path ./ci -o -name 'xids-*.*.*' \) -prune -o -name '*.trs' -print0 | sort -z
}

while IFS= read -r -d '' trs; do
    case $(sed -n 's/^:global-test-result: *//p' "$trs") in
    PASS | SKIP | XFAIL) ;;
    *) printf -- '---- %s\n' "${trs#./}" && tail -n 200 "${trs%.trs}.log" ;;
    esac
done < <(results)
results | xargs -0 -r sed -n 's/^:test-result: *SKIP */skipped: /p'
read -r passed failed skipped known < <(results | xargs -0 -r cat |
    awk '/^:test-result: *PASS/ {p++} /^:test-result: *(FAIL|ERROR|XPASS)/ {f++}
         /^:test-result: *SKIP/ {s++} /^:test-result: *XFAIL/ {x++} END {print p + 0, f + 0, s + 0, x + 0}')
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
[ "$passed" -gt 0 ] || [ "$failed" -gt 0 ] || failed=1
[ "$known" -eq 0 ] || printf 'known differences of peers, as they are listed: %d\n' "$known"
if [ "$skipped" -gt 0 ]; then
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
else
    printf '%d passed, %d failed\n' "$passed" "$failed"
fi
[ "$failed" -eq 0 ]
