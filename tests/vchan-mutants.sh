#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: tests/vchan-mutants.sh [BUILD-DIR [NAME-PART]]     (of a built tree; build, all)
#
# Breaks the vchan core and its byte rings in one place at a time, as tests/vchan-mutants.list says, and runs the unit
# suites on each: prints the suite that found it, or SURVIVES. A change that no longer changes anything, since the code
# has moved on, is STALE. Fails when one survives or is stale. Takes long, so that make check leaves it out.
set -eu
src=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "${1:-$src/build}" && pwd)
only=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc=${CC:-gcc}
core=(ring/bytering vchan/vchan vchan/setup vchan/extension vchan/vector vchan/spin)
hooked=(test_vchan_orders test_vchan_mutate)
plain=(test_vchan test_vchan_end test_vchan_early test_vchan_hostile test_vchan_extension test_vchan_threads)
flags=(-std=gnu11 -O1 -w -D__XEN_INTERFACE_VERSION__=0x00040e00)
libs=(-lcheck -lsubunit -lm -lrt -lpthread)

# compile hooked|plain FILE-WITHOUT-.c OBJECT: what is broken is found before the tree.
compile() {
    local first=()
    [ "$1" = plain ] || first=(-I"$src/tests/unit/hooked")
    "$cc" "${flags[@]}" "${first[@]}" -I"$work" -I"$src/include" -I"$src" -c "$2.c" -o "$3"
}

# The suites, which stay as they are.
for test in "${hooked[@]}" hook hook_world vchan_subject main; do
    compile hooked "$src/tests/unit/$test" "$work/hooked-$test.o"
done
for test in "${plain[@]}" vchan_world main; do
    compile plain "$src/tests/unit/$test" "$work/plain-$test.o"
done

# The core as it is; what is broken takes the place of one object.
for file in "${core[@]}"; do
    for kind in hooked plain; do compile "$kind" "$src/$file" "$work/$kind-${file##*/}.o"; done
done

# link hooked|plain SUITE BROKEN: with the broken file's object.
link() {
    local kind=$1 test=$2 broken=${3##*/} file parts=() more=()
    for file in "${core[@]##*/}"; do
        if [ "$file" = "$broken" ]; then parts+=("$work/$kind-broken.o"); else parts+=("$work/$kind-$file.o"); fi
    done
    if [ "$kind" = hooked ]; then
        parts+=("$work"/hooked-{main,hook,hook_world,vchan_subject}.o)
    else
        parts+=("$work"/plain-{main,vchan_world}.o)
        more=("$build/.libs/libxids-model.a" "$build/.libs/libxids-hv.a" -L"$build/.libs" -lxids
            "-Wl,-rpath,$build/.libs")
    fi
    "$cc" -o "$work/$test" "$work/$kind-$test.o" "${parts[@]}" "${more[@]}" "${libs[@]}"
}

# finds SUITE [VARIABLE=VALUE...]
finds() {
    local suite=$1
    shift
    ! timeout 150 env CK_VERBOSITY=silent CK_DEFAULT_TIMEOUT=60 "$@" "$work/$suite" >"$work/log" 2>&1
}

# try FILE SED: prints what found it.
try() {
    local file=${1%.c} suite kind
    rm -rf "$work/vchan" "$work/ring"
    mkdir -p "$work/vchan" "$work/ring"
    sed -E "$2" "$src/$1" >"$work/$1"
    if cmp -s "$work/$1" "$src/$1"; then echo STALE; return; fi
    for kind in hooked plain; do
        compile "$kind" "$work/$file" "$work/$kind-broken.o" 2>"$work/log" || { echo STALE; return; }
    done
    link hooked test_vchan_orders "$file"
    if finds test_vchan_orders XIDS_ORDERS_CASES=150; then echo test_vchan_orders; return; fi
    for suite in "${plain[@]}"; do
        link plain "$suite" "$file"
        if finds "$suite"; then echo "$suite"; return; fi
    done
    link hooked test_vchan_mutate "$file"
    if finds test_vchan_mutate; then echo test_vchan_mutate; return; fi
    if finds test_vchan_orders XIDS_ORDERS_CASES=3000; then echo "test_vchan_orders, long"; return; fi
    echo SURVIVES
}

# Whole, all must pass: else nothing below means anything.
for suite in "${plain[@]}" "${hooked[@]}"; do
    kind=plain
    [[ " ${hooked[*]} " != *" $suite "* ]] || kind=hooked
    link "$kind" "$suite" none
    if finds "$suite"; then
        cat "$work/log"
        echo "$suite fails as it is"
        exit 1
    fi
done

total=0 bad=0
while IFS=@ read -r name file change; do
    [[ $name != \#* && $name == *"$only"* ]] || continue
    found=$(try "$file" "$change")
    total=$((total + 1))
    case $found in SURVIVES | STALE) bad=$((bad + 1)) ;; esac
    printf '%-62s %s\n' "$name" "$found"
done <"$src/tests/vchan-mutants.list"
echo "$((total - bad)) of $total found"
[ "$bad" -eq 0 ]
