#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: tests/arm64.sh [FOLDER]
#
# xids for arm64, on another machine: builds all of it with the cross compiler in FOLDER/gcc (build/ci/arm64/gcc unless
# given) and the libraries with clang in FOLDER/clang; runs the unit tests, the replays of the fuzzers' corpus and
# check-freestanding. Programs run under qemu's emulation of a Linux process. The last line is "N passed, N failed".
#
# Installs the compilers and the emulator where they are missing (needs root for that alone), and keeps the libraries
# for arm64 in $XIDS_CACHE, build/cache unless it is set. configure must be there (autoreconf -fi, or quickstart).
#
# The interop tests are left out: their scripts would start programs for arm64 by themselves. The emulator knows no
# robust mutexes, nor memory that is kept from dumps and children, so cases with those tags are left out too; and it is
# slow, so a tenth of test_worlds must do. On x86-64 it also shows no reordering but x86's: the tests with threads run,
# and prove less than on a real arm64.
set -u
src=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
top=${1:-$src/build/ci/arm64}
export XIDS_CACHE=${XIDS_CACHE:-$src/build/cache}
triplet=aarch64-linux-gnu
jobs=$(nproc)

die() {
    printf 'arm64: %s\n' "$*" >&2
    exit 1
}

# Under either name: the package qemu-user-static has it as well.
emulator() {
    command -v qemu-aarch64 || command -v qemu-aarch64-static
}

install_tools() {
    local wanted=() package
    for package in gcc-$triplet g++-$triplet clang binutils; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || wanted+=("$package")
    done
    emulator >/dev/null || wanted+=(qemu-user)
    [ ${#wanted[@]} -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || die "install these first: ${wanted[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${wanted[@]}"; } </dev/null ||
        die "could not install: ${wanted[*]}"
}

# built COMPILER TARGET...: the targets in FOLDER/COMPILER, which becomes the current directory.
built() {
    local compiler=$1 cc="$triplet-gcc" cxx="$triplet-g++"
    shift
    [ "$compiler" != clang ] || cc="clang --target=$triplet" cxx="clang++ --target=$triplet"
    rm -rf "${top:?}/$compiler"
    mkdir -p "$top/$compiler" && cd "$top/$compiler" &&
        "$src/configure" -q --build="$(sh "$src/build-aux/config.guess")" --host=$triplet --enable-werror \
            CC="$cc --sysroot=$root" CXX="$cxx --sysroot=$root" &&
        make -s -j"$jobs" "$@"
}

[ -x "$src/configure" ] || die "there is no configure: run autoreconf -fi"
install_tools
root=$("$src/tests/arm64-sysroot.sh") || die "the libraries for arm64 cannot be had"
export PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$root/usr/lib/$triplet/pkgconfig:$root/usr/share/pkgconfig
status=0

# Tests are linked with libxids.a: with the library just built, libtool would make scripts of them, not programs.
# shellcheck disable=SC2016 # make expands it
{
    built gcc all && make -s -k -j"$jobs" check LDFLAGS=-static \
        TESTS='$(UNIT_TESTS) $(FUZZ_TARGETS) tests/check-freestanding.sh' \
        TEST_RUNNER="env 'CK_EXCLUDE_TAGS=robust-mutex seccomp secret-memory' XIDS_WORLDS=50 XIDS_MUTATE_EVERY=29 XIDS_ORDERS_CASES=20 $(emulator) -L $root" \
        TIMEOUT_MULTIPLIER=20 TEST_SECONDS=1200
} || status=1
{ built clang libxids.la libxids-guest.a && make -s -j"$jobs" check-freestanding; } || status=1
"$src/tests/summary.sh" "$top" "$status"
