#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# The vchan protocol in Spin: the settings that take seconds.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
if command -v spin >/dev/null && command -v gcc >/dev/null; then
    exec "$XIDS_SRCDIR/tests/proof/run" quick
fi
tap_skip "the models of vchan" "spin or gcc is not installed"
tap_done
