#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# The rules of xenstore on Debian's unmodified oxenstored; conformance.oxenstored has the differences.
set -u
# shellcheck source-path=SCRIPTDIR source=conformance.sh
. "$XIDS_SRCDIR/tests/interop/conformance.sh"
conformance oxenstored "$XIDS_SRCDIR/tests/interop/conformance.oxenstored"
