# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# conformance KIND [KNOWN]: runs the cases of the conformance program on that xenstored, on the simulator; KNOWN is the
# file of its known differences. One that hangs or dies is started again for the next case.
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"

begin_store() {
    start_store "$1" >&2 && return
    echo "Bail out! $1 does not start"
    exit 1
}

restart_store() {
    local pid
    for pid in $(machine_pids "${1:0:10}"); do
        kill -9 "$pid" && eventually gone "$pid"
    done
    rm -f "$XIDS_SIM_DIR/run/xenstored/"*
    begin_store "$1"
}

conformance() {
    local kind=$1 known=${2:-} status=3
    sim_need_debian
    sim_begin
    begin_store "$kind"
    while [ "$status" -eq 3 ]; do
        "$XIDS_BUILDDIR/tests/interop/conformance" --machine "$XIDS_SIM_DIR" --state "$sim_work/state" \
            ${known:+--known "$known"} ${CONFORMANCE_ONLY:+--only "$CONFORMANCE_ONLY"} </dev/null && status=0 || status=$?
        [ "$status" -ne 3 ] || restart_store "$kind"
    done
    return "$status"
}
