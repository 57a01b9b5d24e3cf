#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: XIDS_SRCDIR=SRC XIDS_BUILDDIR=BUILD libxenvchan.sh
#
# The libxenvchan suite: on the stage of the vchan suite.
exec bash "$XIDS_SRCDIR/bench/vchan.sh" bench-libxenvchan "$XIDS_BUILDDIR/vchan"
