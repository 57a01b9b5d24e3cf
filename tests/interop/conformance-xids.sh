#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# The rules of xenstore on xids-xenstored: all hold.
set -u
# shellcheck source-path=SCRIPTDIR source=conformance.sh
. "$XIDS_SRCDIR/tests/interop/conformance.sh"
conformance xids-xenstored
