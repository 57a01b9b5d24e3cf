#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# The units for systemd: that it understands them, how much they leave open, and what the daemon tells its
# manager. Speaks TAP.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

# The units as they are installed, but with the program of this build.
cp "$XIDS_SRCDIR"/dist/systemd/xids-xenstored.socket "$work"
sed "s|^ExecStart=[^ ]*|ExecStart=$XIDS_BUILDDIR/xids-xenstored|" "$XIDS_BUILDDIR/dist/systemd/xids-xenstored.service" \
    >"$work/xids-xenstored.service"

# silent COMMAND...: succeeds and says nothing.
silent() {
    local said
    if ! said=$("$@" 2>&1 </dev/null) || [ -n "$said" ]; then
        echo "$said"
        return 1
    fi
}
no_placeholder() {
    ! grep -n '@[a-z]*@' "$XIDS_BUILDDIR/dist/systemd/xids-xenstored.service" &&
        grep -q '^ExecStart=/.*/xids-xenstored --no-fork$' "$XIDS_BUILDDIR/dist/systemd/xids-xenstored.service"
}

tap_ok "the service names the installed program" no_placeholder
if command -v systemd-analyze >/dev/null; then
    tap_ok "systemd understands the units" silent systemd-analyze verify --man=no "$work"/xids-xenstored.{service,socket}
    # Of 100; what is left is that it runs as root, which owns Xen's devices.
    tap_ok "the service leaves little open" systemd-analyze security --offline=yes --threshold=20 \
        "$work/xids-xenstored.service"
else
    tap_skip "systemd understands the units" "there is no systemd-analyze"
    tap_skip "the service leaves little open" "there is no systemd-analyze"
fi
tap_done
