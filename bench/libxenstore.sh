#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: XIDS_SRCDIR=SRC XIDS_BUILDDIR=BUILD libxenstore.sh
#
# The libxenstore suite: our libxenstore.so.4 and Xen's, with an xids-xenstored on a socket of its own.
set -u
work=$(mktemp -d "${TMPDIR:-/tmp}/xids-bench.XXXXXX")
# shellcheck disable=SC2317 # called by the trap
leave() {
    [ ! -s "$work/pid" ] || kill "$(cat "$work/pid")" 2>/dev/null
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' HUP INT TERM
export XENSTORED_PATH=$work/socket
"$XIDS_BUILDDIR/xids-xenstored" -D -F "$work/pid" --control "$work/control" >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; exit 1; }
"$XIDS_BUILDDIR/bench/bench-libxenstore" "$XIDS_BUILDDIR/xenstore/libxenstore.so.4" \
    "$(pkg-config --variable=libdir xenstore)/libxenstore.so.4"
