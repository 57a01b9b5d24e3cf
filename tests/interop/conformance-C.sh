#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# The rules of xenstore on Debian's unmodified C xenstored; conformance.C has the differences.
set -u
# shellcheck source-path=SCRIPTDIR source=conformance.sh
. "$XIDS_SRCDIR/tests/interop/conformance.sh"
conformance xenstored "$XIDS_SRCDIR/tests/interop/conformance.C"
