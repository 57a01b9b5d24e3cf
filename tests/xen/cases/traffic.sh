# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# Much at a time on the xenstored under test, and the tools that look into it.

xen_case test-xenstore all 120 xids,C,oxenstored "Xen's own test-xenstore passes over the socket and over dom0's ring"
case_test_xenstore() {
    local path
    for path in /run/xenstored/socket /dev/xen/xenbus; do
        echo "$path:"
        XENSTORED_PATH=$path test-xenstore -i 20 || return 1
    done
}

xen_case xenstore-watch all 30 xids,C,oxenstored "xenstore-watch sees a change over the socket and over dom0's ring"
case_xenstore_watch() {
    local path out=/run/watch.out
    for path in /run/xenstored/socket /dev/xen/xenbus; do
        XENSTORED_PATH=$path xenstore-watch -n 2 /tool/lab >$out &
        # The first event only says that the watch is there.
        wait_for 20 test -s $out || return 1
        xenstore-write /tool/lab/below x
        wait $! || return 1
        cat $out
        [ "$(<$out)" = $'/tool/lab\n/tool/lab/below' ] || return 1
        xenstore-rm /tool/lab
        rm -f $out
    done
}

# by_drop_in PROGRAM: whether it runs with our libxenstore.so.4.
by_drop_in() {
    # shellcheck disable=SC2154 # lib.sh's
    LD_TRACE_LOADED_OBJECTS=1 "$(command -v "$1")" | grep -F "libxenstore.so.4 => $programs/drop-in/"
}

# tool_life PLACE: what the xenstore tools do with a node PLACE.
tool_life() {
    xenstore-write "$1/a" 1 "$1/b" "two words" && [ "$(xenstore-read "$1/a" "$1/b")" = $'1\ntwo words' ] &&
        [ "$(xenstore-list "$1")" = $'a\nb' ] && [ "$(xenstore-ls "$1")" = $'a = "1"\nb = "two words"' ] &&
        xenstore-exists "$1/a" && xenstore-rm "$1" && ! xenstore-exists "$1/a"
}

xen_case drop-in-tools all 180 xids,C,oxenstored "Debian's tools with our libxenstore.so.4, over the socket, dom0's ring and a guest's"
case_drop_in_tools() {
    local program path domid
    export LD_LIBRARY_PATH=$programs/drop-in:$LD_LIBRARY_PATH
    for program in xl xenstore-write xenstore-watch test-xenstore; do
        by_drop_in "$program" || { echo "$program: another libxenstore"; return 1; }
    done
    for path in /run/xenstored/socket /dev/xen/xenbus; do
        XENSTORED_PATH=$path tool_life /tool/lab || { echo "not over $path"; return 1; }
    done
    case_test_xenstore && case_xenstore_watch || return 1
    # shellcheck disable=SC2016 # the guest expands it
    guest_linux dropped pv "$(declare -f tool_life)"'
export LD_LIBRARY_PATH=/programs/drop-in:/programs
LD_TRACE_LOADED_OBJECTS=1 /usr/bin/xenstore-read | grep -F "libxenstore.so.4 => /programs/drop-in/" || exit 1
tool_life data/lab || exit 2
xenstore-watch -n 2 data/lab >/run/events &
until [ -s /run/events ]; do sleep 0.1; done
xenstore-write data/lab 1 && wait $! && grep -c "^data/lab\$" /run/events || exit 3
echo "guest: tools work"
until xenstore-exists xenstore-test; do sleep 0.2; done
test-xenstore -i 5 || exit 4' || return 1
    wait_console dropped 60 'guest: tools work' && domid=$(xl domid dropped) || return 1
    # test-xenstore needs a place of its own, which it looks for below the domain's folder.
    xenstore-write "/local/domain/$domid/xenstore-test" "" && xenstore-chmod "/local/domain/$domid/xenstore-test" "n$domid" || return 1
    wait_console dropped 90 'guest: exit status' && console dropped && console_has dropped 'guest: exit status 0' || return 1
    wait_for 20 guest_gone dropped
}

xen_case xl-rename all 60 xids,C,oxenstored "xl rename and list -l, xenstore-ls -fp of a guest"
case_xl_rename() {
    local domid uuid list
    guest_linux before pv 'read -r < <(sleep 1000)' || return 1
    wait_console before 60 'guest: up' && domid=$(xl domid before) || return 1
    uuid=$(xenstore-read "/local/domain/$domid/vm")
    xl rename before after || return 1
    [ "$(xl domid after)" = "$domid" ] && [ "$(xl domname "$domid")" = after ] || return 1
    [ "$(xenstore-read "/local/domain/$domid/name" "$uuid/name")" = $'after\nafter' ] || return 1
    xl list -l after | grep -q '"name": "after"' || return 1
    list=$(xenstore-ls -fp /) || return 1
    echo "$list" | grep "^/local/domain/$domid"
    # domain 0's, readable by the guest; and one that the guest owns.
    grep -q "^/local/domain/$domid/name = \"after\"  *(n0,r$domid)\$" <<<"$list" || return 1
    grep -q "^/local/domain/$domid/data = \"\"  *(n$domid)\$" <<<"$list"
}

guests_at_once=8
# xl gives xenconsoled 10 s for a guest's console, on however busy a machine: not more than these at a time, and paused.
creations_at_once=4

# all_end PID...: waits for each; 1 when one has failed.
all_end() {
    local pid failed=0
    for pid in "$@"; do
        wait "$pid" || failed=1
    done
    return $failed
}

xen_case many-guests all 400 xids "8 PV guests created 4 at a time, all at the store at once, and destroyed at once"
case_many_guests() {
    local i name pids=() list
    [ -e /run/vmlinux ] || cp /images/vmlinux /run/vmlinux
    # shellcheck disable=SC2016 # the guest expands it
    guest_initrd many '
me=$(xenstore-read name)
for i in 1 2 3 4 5 6 7 8 9 10; do
    xenstore-write data/round "$me $i" && [ "$(xenstore-read data/round)" = "$me $i" ] || exit 1
done
echo "$me has all"
read -r < <(sleep 1000)'
    for ((i = 0; i < guests_at_once; i++)); do
        guest_config "many$i" pv /run/vmlinux /run/many.cpio 'memory = 100'
        guest_create "many$i" -p &
        pids+=($!)
        if [ ${#pids[@]} -eq $creations_at_once ]; then
            all_end "${pids[@]}" || return 1
            pids=()
        fi
    done
    for ((i = 0; i < guests_at_once; i++)); do
        xl unpause "many$i" || return 1
    done
    for ((i = 0; i < guests_at_once; i++)); do
        wait_console "many$i" 200 "many$i has all" || return 1
    done
    list=$(xl list) || return 1
    echo "$list"
    [ "$(grep -c '^many' <<<"$list")" -eq $guests_at_once ] || return 1
    # What each has written is where it belongs.
    while read -r name i _; do
        [[ $name != many* ]] || [ "$(xenstore-read "/local/domain/$i/data/round")" = "$name 10" ] || return 1
    done <<<"$list"
    pids=()
    for ((i = 0; i < guests_at_once; i++)); do
        xl destroy "many$i" &
        pids+=($!)
    done
    all_end "${pids[@]}" || return 1
    ! xenstore-ls -f / | grep -E '^/(vm|libxl)/.|^/local/domain/[1-9]'
}
