# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2154
# What tests/proof/run explores, by calling start, and $set_name: quick or full. Macros are explained in the models.

ours=(SIDE0=Ours SIDE1=Ours)
to_lib=(SIDE0=Lib SIDE1=Ours)
from_lib=(SIDE0=Ours SIDE1=Lib)
one=(RING=1 BATCH=1 SEND0=0 SEND1=2)       # a byte in a ring of one
batch=(RING=2 BATCH=2 SEND0=0 SEND1=3)     # published two by two
two=(RING=2 BATCH=1 SEND0=0 SEND1=2)       # in a ring of two
packet=(RING=2 BATCH=1 PACKET=2 SEND0=0 SEND1=4)
both=(RING=1 BATCH=1 SEND0=1 SEND1=1)

full() {
    [ "$set_name" = full ]
}

sound_channel() {
    start sound "xids to xids, one byte at a time" channel "${ours[@]}" "${one[@]}"
    start sound "xids to libxenvchan" channel "${to_lib[@]}" "${one[@]}"
    start sound "libxenvchan to xids" channel "${from_lib[@]}" "${one[@]}"
    full || return
    start sound "xids to xids, in batches" channel "${ours[@]}" "${batch[@]}"
    start sound "xids to xids, packets, drained before the close" channel "${ours[@]}" "${packet[@]}" DRAINS
    start sound "xids and xids, both ways" channel "${ours[@]}" "${both[@]}"
    start sound "xids to libxenvchan, drained before the close" channel "${to_lib[@]}" "${one[@]}" DRAINS
    start sound "libxenvchan to xids, in a ring of two" channel "${from_lib[@]}" "${two[@]}"
    start sound "xids and libxenvchan, both ways" channel "${to_lib[@]}" "${both[@]}"
    local side
    for side in 0 1; do
        local role=reader
        [ "$side" = 0 ] || role=writer
        start sound "xids to xids, the $role closes at any turn" channel "${ours[@]}" "${one[@]}" QUITS=$side
        start sound "xids to xids, the $role is killed at any step" channel "${ours[@]}" "${one[@]}" KILLED=$side
        start sound "xids to xids, the $role's domain dies at any step" channel "${ours[@]}" "${batch[@]/SEND1=3/SEND1=2}" DIES=$side
    done
    start sound "xids to libxenvchan, which is killed at any step" channel "${to_lib[@]}" "${one[@]}" KILLED=0
    start sound "libxenvchan to xids, killed at any step" channel "${from_lib[@]}" "${one[@]}" KILLED=1
    start sound "libxenvchan to xids, its domain dies at any step" channel "${from_lib[@]}" "${one[@]}" DIES=1
}

# broken WHAT SETTING...: ours with one step broken.
broken() {
    local what=$1
    shift
    start broken "$what" channel "$@" "BROKEN_$what"
}

broken_channel() {
    broken KICK_FENCE "${ours[@]}" "${one[@]}"
    broken ARM_FENCE "${ours[@]}" "${one[@]}"
    broken LIVE_AFTER_PROD "${ours[@]}" "${one[@]}"
    broken LIVE_RELAXED "${ours[@]}" "${one[@]}"
    broken PROD_RELAXED "${ours[@]}" "${one[@]}"
    full || return
    broken PROD_STORE_RELAXED "${ours[@]}" "${one[@]}"
    broken CONS_BEFORE_COPY "${ours[@]}" "${one[@]}"
    broken KICK_BEFORE_PUBLISH "${ours[@]}" "${one[@]}"
    broken CLEAR_AFTER_NOTIFY "${ours[@]}" "${one[@]}"
    broken CLEAR_NOT_ATOMIC "${ours[@]}" "${one[@]}"
    broken ARM_ASK_LAST "${ours[@]}" "${one[@]}"
    broken ARM_NO_LOOK "${ours[@]}" "${one[@]}"
    broken ARM_NO_FLUSH "${ours[@]}" "${batch[@]}"
    broken NO_UNMASK "${ours[@]}" "${one[@]}"
    broken NO_LOOK_AT_PORT "${ours[@]}" "${one[@]}" DIES=1
    broken LEAVE_PUBLISHES_NOT "${ours[@]}" "${batch[@]}"
    broken LEAVE_PUBLISHES_LATE "${ours[@]}" "${batch[@]}"
    broken LEAVE_RELAXED "${ours[@]}" "${batch[@]}"
    broken LEAVE_NOTIFIES_NOT "${ours[@]}" "${one[@]}"
    broken LEAVE_NOTIFIES_EARLY "${ours[@]}" "${one[@]}"
    # And with libxenvchan at the other end, whose own barriers are there.
    start broken "KICK_FENCE towards libxenvchan" channel "${to_lib[@]}" "${one[@]}" BROKEN_KICK_FENCE
    start broken "LIVE_AFTER_PROD towards libxenvchan" channel "${from_lib[@]}" "${one[@]}" BROKEN_LIVE_AFTER_PROD
    # What cannot show: README.md says why.
    start sound "harmless: ASK_NOT_ATOMIC" channel "${ours[@]}" "${both[@]}" BROKEN_ASK_NOT_ATOMIC
    start sound "harmless: ARM_FENCE towards libxenvchan" channel "${from_lib[@]}" "${one[@]}" BROKEN_ARM_FENCE
    start sound "harmless: LOOK_BEFORE_UNMASK" channel "${ours[@]}" "${one[@]}" BROKEN_LOOK_BEFORE_UNMASK
}

# A server's clients, one after another.
persist() {
    full || return 0
    local clients=(RING=1 BATCH=1 CLIENTS=2)
    start sound "two clients by xids, a domain may die" persist "${clients[@]}" CLIENT=OurClient DEATHS SEND0=0 SEND1=1
    start sound "two clients by xids, killed or not" persist "${clients[@]}" CLIENT=OurClient KILLS SEND0=1 SEND1=0
    start sound "two clients by libxenvchan, a domain may die" persist "${clients[@]}" CLIENT=LibClient DEATHS SEND0=0 SEND1=1
    local what
    for what in REOFFER_TRUSTS REOFFER_DISTRUSTS; do
        start broken "$what" persist "${clients[@]}" CLIENT=OurClient DEATHS SEND0=0 SEND1=1 "BROKEN_$what"
    done
}

settings() {
    sound_channel
    broken_channel
    persist
}
