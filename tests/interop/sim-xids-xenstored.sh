#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Our own xenstored serves the domains of a simulated machine.
set -u
# shellcheck source-path=SCRIPTDIR source=sim-store.sh
. "$XIDS_SRCDIR/tests/interop/sim-store.sh"
store_cases xids-xenstored
