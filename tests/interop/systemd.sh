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

# The units as they are installed, but with the programs of this build.
services=(xids-entropy-agent xids-randomd xids-xenstored)
cp "$XIDS_SRCDIR"/dist/systemd/xids-xenstored.socket "$work"
for service in "${services[@]}"; do
    sed "s|^ExecStart=[^ ]*|ExecStart=$XIDS_BUILDDIR/$service|" "$XIDS_BUILDDIR/dist/systemd/$service.service" \
        >"$work/$service.service"
done

# silent COMMAND...: succeeds and says nothing.
silent() {
    local said
    if ! said=$("$@" 2>&1 </dev/null) || [ -n "$said" ]; then
        echo "$said"
        return 1
    fi
}
no_placeholder() {
    local unit=$XIDS_BUILDDIR/dist/systemd/$1.service
    ! grep -n '@[a-z]*@' "$unit" && grep -q "^ExecStart=/.*/$1 --" "$unit"
}

for service in "${services[@]}"; do
    tap_ok "$service: the unit names the installed program" no_placeholder "$service"
    if command -v systemd-analyze >/dev/null; then
        tap_ok "$service: systemd understands the unit" silent systemd-analyze verify --man=no "$work/$service".*
        # Of 100; what is left is that it runs as root, which owns Xen's devices.
        tap_ok "$service: the unit leaves little open" systemd-analyze security --offline=yes --threshold=20 \
            "$work/$service.service"
    else
        tap_skip "$service: systemd understands the unit" "there is no systemd-analyze"
        tap_skip "$service: the unit leaves little open" "there is no systemd-analyze"
    fi
done
# holds SERVICE LINE
holds() {
    grep -qx -- "$2" "$work/$1.service"
}
tap_ok "xids-randomd: it is started again for as long as xenstored is away" holds xids-randomd StartLimitIntervalSec=0
tap_ok "xids-randomd: but not with wrong settings" holds xids-randomd RestartPreventExitStatus=2
tap_done
