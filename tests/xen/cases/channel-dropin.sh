# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# Our libxenvchan.so.4.17 in place of Xen's, over real grants and event channels.

# shellcheck disable=SC2034,SC2154 # case_run's; lib.sh's $programs and $slower
keeps_guests=1

# library PLACE ours|theirs: the environment with which programs there find it. MALLOC_PERTURB_: Xen's takes whatever
# malloc gives for some of its flags.
library() {
    if [ "$2" = theirs ]; then
        echo MALLOC_PERTURB_=0
    elif [ "$1" = dom0 ]; then
        echo "LD_LIBRARY_PATH=$programs/drop-in:$LD_LIBRARY_PATH"
    else
        echo LD_LIBRARY_PATH=/programs/drop-in:/programs
    fi
}

# loads_ours PLACE: which tells that the words of library are right.
loads_ours() {
    local id
    agent_start id "$1" "$(library "$1" ours) LD_TRACE_LOADED_OBJECTS=1 \$(command -v libxenvchan_peer) | grep -F 'libxenvchan.so.4.17 => ' | grep -F /drop-in/" &&
        agent_end "$id" "$1" 20
}

# echoed_by SERVER LIBRARY CLIENT LIBRARY DUTY COUNT
echoed_by() {
    local path client server
    path=/local/domain/$(agent_domid "$1")/data/drop-in
    agent_start server "$1" "$(library "$1" "$2") timeout $((60 * slower)) libxenvchan_peer echo $(agent_domid "$3") $path 4096" &&
        agent_start client "$3" "until xenstore-exists $path/event-channel; do sleep 0.3; done; $(library "$3" "$4") timeout $((60 * slower)) libxenvchan_peer $5 $(agent_domid "$1") $path $6" || return 1
    echo "$2 serves in $1, $4 connects in $3: $5 $6"
    agent_end "$client" "$3" 60 && agent_end "$server" "$1" 60
}

xen_case vchan-drop-in all 150 xids "a program of libxenvchan with our libxenvchan.so.4.17, in dom0 and in a guest, with itself and with Xen's"
case_vchan_drop_in() {
    agent_guest one pvh && loads_ours dom0 && loads_ours one &&
        echoed_by one ours dom0 ours send 100000 && echoed_by dom0 ours one ours packets 300 &&
        echoed_by one ours dom0 theirs send 100000 && echoed_by dom0 theirs one ours send 100000 &&
        echoed_by dom0 ours one theirs packets 300
}
