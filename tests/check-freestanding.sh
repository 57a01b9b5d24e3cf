#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# The border between core and hosted, as CONTRIBUTING.md draws it: core files compile freestanding and import four
# functions; each public header stands alone in C and C++; arrows between folders point down.
#
# usage: make check-freestanding (also part of make check). The lists of files come from make, in the environment:
# XIDS_CORE and XIDS_HEADERS (paths in the source tree), XIDS_CPPFLAGS, XIDS_FREESTANDING.
set -u
# shellcheck source-path=SCRIPTDIR source=tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
work=$(mktemp -d "${TMPDIR:-/tmp}/xids-freestanding.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
read -ra core <<<"$XIDS_CORE"
read -ra headers <<<"$XIDS_HEADERS"
read -ra cppflags <<<"$XIDS_CPPFLAGS"
read -ra freestanding <<<"$XIDS_FREESTANDING"
read -ra cc <<<"${CC:-cc}"
read -ra cxx <<<"${CXX:-c++}"

# The compiler's own headers (stdint, stddef, ...) and Xen's, by way of a folder that holds nothing but a link to the
# latter: whoever includes a header of the C library does not compile.
builtin=$("${cc[@]}" -print-file-name=include)
xen=$(printf '#include <xen/xen.h>\n' | "${cc[@]}" -D__XEN_INTERFACE_VERSION__=0x00040e00 -ffreestanding -M -xc - |
    tr ' ' '\n' | sed -n 's,/xen/xen\.h$,,p' | head -n 1)
mkdir "$work/include"
ln -s "$xen/xen" "$work/include/xen"

compiles_freestanding() {
    (cd "$XIDS_SRCDIR" && "${cc[@]}" -nostdinc -isystem "$builtin" -isystem "$work/include" "${cppflags[@]}" \
        "${freestanding[@]}" -O2 -c -o "$work/one.o" "$1")
}

# What an object that leaves the four aside still wants must be defined by the archive itself, but for what a kernel
# gives: its program, and the linker script's addresses.
given=(xids_guest_main xids_guest_text xids_guest_rodata xids_guest_data xids_guest_end xids_guest_boot_end)
imports_are_the_four() {
    local archive=$1
    nm -u "$archive" | sed -n 's/^ *U //p' | sort -u >"$work/wanted"
    nm --defined-only "$archive" | awk 'NF == 3 {print $3}' | sort -u >"$work/defined"
    printf '%s\n' memcpy memmove memset memcmp "${given[@]}" | sort >"$work/four"
    comm -23 "$work/wanted" "$work/defined" | comm -23 - "$work/four" >"$work/foreign"
    [ ! -s "$work/foreign" ] || { echo "imported and neither ours nor one of the four:"; cat "$work/foreign"; return 1; }
}

exports_are_ours() {
    nm -g --defined-only "$1" | awk '
        NF == 3 && $3 !~ /^(xids_.*|memcpy|memmove|memset|memcmp)$/ {print; bad = 1}
        END {exit bad}'
}

# Its own memory functions, and entry point, beside the core: nothing is defined twice, nothing of ours is dragged in.
links_without_our_platform() {
    cat >"$work/kernel.c" <<'END'
#include <xids/rng.h>
#include <xids/vchan.h>
void *memcpy(void *to, const void *from, size_t len) { (void)from; (void)len; return to; }
void *memmove(void *to, const void *from, size_t len) { (void)from; (void)len; return to; }
void *memset(void *at, int value, size_t len) { (void)value; (void)len; return at; }
int memcmp(const void *a, const void *b, size_t len) { return (int)len + (a == b); }
const void *used[] = {(const void *)xids_rng_init, (const void *)xids_vchan_client_init};
void _start(void) { for (;;) { __asm__ volatile("" : : "r"(used)); } }
END
    "${cc[@]}" -std=gnu11 "${cppflags[@]}" -ffreestanding -fno-pie -fno-stack-protector -c -o "$work/kernel.o" \
        "$work/kernel.c" &&
        "${cc[@]}" -nostdlib -static -no-pie -o "$work/kernel" "$work/kernel.o" "$1" &&
        ! nm "$work/kernel" | grep -E ' (xids_guest_|arch_|guest_)'
}

# A constructor would be left out without a word, for nothing refers to it.
refuses_constructors() {
    printf '%s\n' 'static int x;' '__attribute__((constructor)) static void set(void) { x = 1; }' \
        'int xids_guest_main(void *g); int xids_guest_main(void *g) { return x + (g == 0); }' >"$work/constructor.c"
    ! "${cc[@]}" -ffreestanding -fno-pie -fno-stack-protector -nostdlib -static -Wl,--gc-sections -Wl,-T,"$1" \
        -o "$work/constructor" "$work/constructor.c" "$XIDS_BUILDDIR/libxids-guest.a" 2>"$work/said" &&
        grep -q 'constructors are not supported' "$work/said"
}

stands_alone_in_c() {
    printf '#include <%s>\n#include <%s>\nextern int xids_none;\n' "$1" "$1" >"$work/one.c"
    "${cc[@]}" -std=c11 -Wall -Wextra -Werror "${cppflags[@]}" -fsyntax-only "$work/one.c"
}

stands_alone_in_cxx() {
    printf '#include <%s>\n' "$1" >"$work/one.cc"
    "${cxx[@]}" -std=c++17 -Wall -Wextra -Werror "${cppflags[@]}" -fsyntax-only "$work/one.cc"
}

# includes_none_of FOLDER PATTERN: no file of the folder includes a path that matches.
includes_none_of() {
    local folder=$1 pattern=$2
    ! grep -rnE --include='*.[ch]' "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($pattern)" "$XIDS_SRCDIR/$folder"
}

for file in "${core[@]}"; do
    tap_ok "$file compiles without a C library" compiles_freestanding "$file"
done
tap_ok "libxids-guest.a imports only memcpy, memmove, memset, memcmp" \
    imports_are_the_four "$XIDS_BUILDDIR/libxids-guest.a"
tap_ok "libxids-guest.a exports only xids_ names and these four" exports_are_ours "$XIDS_BUILDDIR/libxids-guest.a"
tap_ok "a kernel of another platform takes in neither ours nor our memory functions" links_without_our_platform \
    "$XIDS_BUILDDIR/libxids-guest.a"
if [ -f "$XIDS_BUILDDIR/guest-x86_64.ld" ]; then
    tap_ok "a unikernel with a constructor does not link" refuses_constructors "$XIDS_BUILDDIR/guest-x86_64.ld"
fi
for header in "${headers[@]}"; do
    tap_ok "$header stands alone in C11" stands_alone_in_c "${header#include/}"
    if command -v "${cxx[0]}" >/dev/null; then
        tap_ok "$header stands alone in C++" stands_alone_in_cxx "${header#include/}"
    else
        tap_skip "$header stands alone in C++" "no C++ compiler"
    fi
done

up='vchan|randomd|frontends|backends|sim|guests'
tap_ok "ring/ knows no floor above it" includes_none_of ring "(xids/)?(xs|xswire|store|xenstore|$up).*"
tap_ok "xenstore/ knows no floor above it" includes_none_of xenstore "(xids/)?($up).*"
tap_ok "vchan/ knows no floor above it" includes_none_of vchan '(xids/)?(randomd|frontends|backends|sim|guests).*'
core_knows_no_platform() {
    (cd "$XIDS_SRCDIR" &&
        ! grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"](xids/platform_|platform/(xen|guest)|sim/)' "$@")
}
tap_ok "core files know the platform's interface alone" core_knows_no_platform "${core[@]}"
tap_done
