# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# xl's whole life of a Linux guest on the xenstored under test, looked at from both sides.

# The guest counts on its console, and says what a disk contains when one comes, and that it has gone.
# shellcheck disable=SC2016 # the guest expands it
counting='
echo 1 >/proc/sys/kernel/sysrq
echo "/usr/bin/busybox poweroff -f" >/proc/sys/kernel/poweroff_cmd
modprobe xen-blkfront
exec {never}<> <(:)
n=0 disk=
while :; do
    n=$((n + 1))
    echo "count $n"
    if [ -z "$disk" ] && [ -b /dev/xvdb ]; then
        disk=$(head -c 65536 /dev/xvdb | sha256sum)
        echo "disk ${disk%% *}"
    elif [ -n "$disk" ] && [ ! -b /dev/xvdb ]; then
        disk=
        echo "disk gone"
    fi
    read -r -t 0.5 -u "$never"
done'

# must WHAT COMMAND...: fails with WHAT when the command does.
must() {
    local what=$1
    shift
    "$@" || { printf 'not so: %s\n' "$what"; return 1; }
}

# counting_guest pv|pvh: a guest of that name that counts. Sets domid and uuid.
counting_guest() {
    guest_linux "$1" "$1" "$counting" || return 1
    wait_console "$1" 60 'count 2' || return 1
    domid=$(xl domid "$1") && uuid=$(xenstore-read "/local/domain/$domid/vm") && uuid=${uuid#/vm/}
}

# last_count NAME: the last number that the guest has printed as a whole.
last_count() {
    local text
    # shellcheck disable=SC2154 # lib.sh's
    mapfile -d '' -t text <"$log/guest-$1.log"
    [[ ${text[*]} =~ .*count\ ([0-9]+)$'\r' ]] && echo "${BASH_REMATCH[1]}"
}

counts_beyond() {
    local n
    n=$(last_count "$1") && [ "$n" -gt "$2" ]
}

# boots NAME NUMBER: whether the guest has come up that often.
boots() {
    [ "$(grep -c 'guest: up' "$log/guest-$1.log")" -eq "$2" ]
}

# nothing_left DOMID UUID: whether the store knows nothing of a domain any more.
nothing_left() {
    ! xenstore-ls -f / | grep -E "^/(local/domain/$1|libxl/$1|local/domain/0/backend/[a-z]+/$1|vm/$2)[/ ]"
}

# another_domid NAME DOMID: whether a domain of that name, but with another number, runs. Sets domid.
another_domid() {
    domid=$(xl domid "$1" 2>/dev/null) && [ "$domid" != "$2" ]
}

xen_case xl-create-pv quick 60 xids,C,oxenstored "xl create, list, destroy of a Linux PV guest"
case_xl_create_pv() {
    creates pv
}

xen_case xl-create-pvh quick 90 xids,C,oxenstored "xl create, list, destroy of a Linux PVH guest"
case_xl_create_pvh() {
    creates pvh
}

creates() {
    local name=$1 domid uuid
    counting_guest "$name" || return 1
    must 'listed by xl' [ "$(xl list "$name" | awk 'NR == 2 {print $1, $2}')" = "$name $domid" ] || return 1
    must 'names in the store' [ "$(xenstore-read "/local/domain/$domid/name" "/vm/$uuid/name")" = "$name"$'\n'"$name" ] || return 1
    must 'number in the store' [ "$(xenstore-read "/local/domain/$domid/domid")" = "$domid" ] || return 1
    must 'written by the guest' [ "$(xenstore-read "/local/domain/$domid/control/feature-poweroff")" = 1 ] || return 1
    must 'xl destroy' xl destroy "$name" || return 1
    must 'not listed any more' guest_gone "$name" 2>/dev/null && must 'nothing left' nothing_left "$domid" "$uuid"
}

xen_case xl-drop-in quick 60 xids,C,oxenstored "xl create, list, destroy with our libxenstore.so.4"
case_xl_drop_in() {
    # shellcheck disable=SC2154 # lib.sh's
    export LD_LIBRARY_PATH=$programs/drop-in:$LD_LIBRARY_PATH
    LD_TRACE_LOADED_OBJECTS=1 "$(command -v xl)" | grep -F "libxenstore.so.4 => $programs/drop-in/" && creates pv
}

xen_case xl-save-pv quick 90 xids,C,oxenstored "xl save and restore of a Linux PV guest, which goes on counting"
case_xl_save_pv() {
    saves pv
}

xen_case xl-save-pvh all 120 xids,C,oxenstored "xl save and restore of a Linux PVH guest, which goes on counting"
case_xl_save_pvh() {
    saves pvh
}

saves() {
    local name=$1 file=/run/$1.save domid uuid old was
    counting_guest "$name" || return 1
    old=$domid
    must 'xl save' xl save "$name" "$file" >"$log/$name.save" 2>&1 || { tail -n 20 "$log/$name.save"; return 1; }
    must 'not listed any more' guest_gone "$name" 2>/dev/null && must 'nothing left' nothing_left "$old" "$uuid" || return 1
    was=$(last_count "$name")
    must 'xl restore' xl restore "$file" </dev/null >"$log/$name.restore" 2>&1 || { tail -n 20 "$log/$name.restore"; return 1; }
    rm -f "$file"
    must 'another number' another_domid "$name" "$old" || return 1
    wait_for 60 counts_beyond "$name" $((was + 2)) || return 1
    must 'one boot' boots "$name" 1 || return 1
    # The guest has to have come back to the store for this.
    must 'xl shutdown' xl shutdown -w "$name" || return 1
    wait_for 30 guest_gone "$name" && must 'nothing left' nothing_left "$domid" "$uuid"
}

xen_case xl-block-pv all 90 xids,C,oxenstored "xl block-attach, contents read in the PV guest, block-detach"
case_xl_block_pv() {
    attaches pv
}

xen_case xl-block-pvh quick 120 xids "xl block-attach, contents read in the PVH guest, block-detach"
case_xl_block_pvh() {
    attaches pvh
}

no_loop() {
    [ -z "$(losetup -a)" ]
}

attaches() {
    local name=$1 disk=/run/disk.img sum domid uuid
    counting_guest "$name" || return 1
    modprobe -a loop xen-blkback || return 1
    head -c 1048576 /dev/urandom >"$disk"
    sum=$(head -c 65536 "$disk" | sha256sum)
    must 'xl block-attach' xl block-attach "$name" "format=raw,vdev=xvdb,access=rw,target=$disk" || return 1
    wait_console "$name" 60 "disk ${sum%% *}" || return 1
    must 'connected' [ "$(xl block-list "$name" | awk 'NR == 2 {print $1, $4}')" = '51728 4' ] || return 1
    must 'xl block-detach' xl block-detach "$name" xvdb || return 1
    wait_console "$name" 60 'disk gone' || return 1
    must 'nothing of it left' [ -z "$(xenstore-ls -f / | grep 'vbd/')" ] || return 1
    wait_for 30 no_loop && rm -f "$disk"
}

xen_case xl-reboot-pv all 120 xids,C,oxenstored "xl reboot of a Linux PV guest: it boots again, with another number; xl shutdown"
case_xl_reboot_pv() {
    reboots pv
}

xen_case xl-reboot-pvh all 180 xids "xl reboot of a Linux PVH guest: it boots again, with another number; xl shutdown"
case_xl_reboot_pvh() {
    reboots pvh
}

reboots() {
    local name=$1 domid uuid old
    counting_guest "$name" || return 1
    old=$domid
    must 'xl reboot' xl reboot "$name" || return 1
    # What the first one counted is still there: the second has to begin again.
    wait_for 90 boots "$name" 2 && wait_for 30 begins_again "$name" || return 1
    must 'another number' another_domid "$name" "$old" || return 1
    must 'nothing left of the first' nothing_left "$old" none || return 1
    must 'xl shutdown' xl shutdown -w "$name" || return 1
    wait_for 30 guest_gone "$name" && must 'nothing left' nothing_left "$domid" "$uuid"
}

begins_again() {
    [ "$(grep -c 'count 1'$'\r' "$log/guest-$1.log")" -eq 2 ]
}
