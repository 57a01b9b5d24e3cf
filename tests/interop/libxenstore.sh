#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Our libxenstore.so.4 beside Xen's: what it exports; and Debian's python modules against xids-xenstored on a bare socket:
# xen.lowlevel.xs, which is linked with libxenstore, and pyxs, which speaks the protocol itself. Speaks TAP.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
ours=$XIDS_BUILDDIR/xenstore/libxenstore.so.4
work=$(mktemp -d)
# shellcheck disable=SC2317 # called by the trap
leave() {
    [ ! -s "$work/pid" ] || kill "$(cat "$work/pid")" 2>/dev/null
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 130' HUP INT TERM
export XENSTORED_PATH=$work/socket

# names LIBRARY: what it exports, with versions.
names() {
    nm -D --defined-only --with-symbol-versions "$1" | awk '$2 == "T" {sub("@@", "@", $3); print $3}' | sort
}

# What came with the newest Xen; Debian's library of a later release has some of it.
newer="xs_get_domain_quota@VERS_4.2 xs_get_features_domain@VERS_4.1 xs_get_features_supported@VERS_4.1
xs_get_global_quota@VERS_4.2 xs_get_quota_names@VERS_4.2 xs_set_domain_quota@VERS_4.2 xs_set_features_domain@VERS_4.1
xs_set_global_quota@VERS_4.2 xs_watch_depth@VERS_4.2 xs_watch_try_depth@VERS_4.2"

exports_all_of_theirs() {
    local missing
    missing=$(comm -13 <(names "$ours") <(names "$theirs"))
    [ -z "$missing" ] || { echo "$missing"; return 1; }
}

exports_nothing_else() {
    local more
    more=$(comm -23 <(names "$ours") <({ names "$theirs"; tr ' ' '\n' <<<"$newer"; } | sort -u))
    [ -z "$more" ] || { echo "$more"; return 1; }
}

field() {
    readelf -d "$1" | sed -n "s/.*($2).*\[\(.*\)\]/\1/p"
}

same_soname() {
    [ "$(field "$ours" SONAME)" = "$(field "$theirs" SONAME)" ]
}

# Nothing of our own, so that a program finds all by the system's paths.
needs_nothing_more() {
    local more
    more=$(comm -23 <(field "$ours" NEEDED | sort) <(field "$theirs" NEEDED | sort))
    [ -z "$more" ] || { echo "$more"; return 1; }
}

theirs=$(pkg-config --variable=libdir xenstore)/libxenstore.so.4
tap_ok "Xen's library is here" test -e "$theirs"
tap_ok "ours exports all that Xen's does" exports_all_of_theirs
tap_ok "and nothing but what the newest Xen's has" exports_nothing_else
tap_ok "it has the same soname" same_soname
tap_ok "it needs no library that Xen's does not need" needs_nothing_more

"$XIDS_BUILDDIR/xids-xenstored" -D -F "$work/pid" --control "$work/control" </dev/null >"$work/log" 2>&1

python() {
    timeout -k 5 60 python3 "$@" </dev/null
}

lowlevel() {
    LD_LIBRARY_PATH=$XIDS_BUILDDIR/xenstore PYTHONPATH=$1 python "$XIDS_SRCDIR/tests/interop/lowlevel_check.py"
}

pyxs() {
    PYTHONPATH=$1/usr/lib/python3/dist-packages python "$XIDS_SRCDIR/tests/interop/pyxs_check.py"
}

if ! command -v python3 >/dev/null; then
    tap_skip "Debian's python modules" "python3 is not installed"
else
    if debian=$("$XIDS_SRCDIR/tests/interop/debian-xen.sh" 2>"$work/download") &&
        modules=$(echo "$debian"/usr/lib/xen-*/lib/python) &&
        PYTHONPATH=$modules python3 -c 'import xen.lowlevel.xs' 2>/dev/null; then
        tap_ok "xen.lowlevel.xs works with our library" lowlevel "$modules"
    else
        tap_skip "xen.lowlevel.xs" "it cannot be downloaded, or is for another python3"
    fi
    if debian=$("$XIDS_SRCDIR/tests/interop/debian-packages.sh" debian-pyxs python3-pyxs 2>"$work/download"); then
        tap_ok "pyxs works with xids-xenstored" pyxs "$debian"
    else
        tap_skip "pyxs" "it cannot be downloaded"
    fi
fi
tap_done
