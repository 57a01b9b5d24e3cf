# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# Guests and toolstacks that end in the middle. That they leave nothing is looked for after each case.

# at_store: a guest's script that keeps its ring to the store full.
# shellcheck disable=SC2016 # the guest expands it
at_store='
for i in 1 2 3; do
    (while :; do xenstore-write "data/$i" x "data/$i/y" z && xenstore-ls data >/dev/null && xenstore-rm "data/$i"; done) &
done
echo "busy"
wait'

# store_answers: over the socket and over dom0's ring.
store_answers() {
    xenstore-write /tool/lab here && [ "$(XENSTORED_PATH=/dev/xen/xenbus xenstore-read /tool/lab)" = here ] &&
        xenstore-rm /tool/lab
}

crashes() {
    local type=$1 name=crash
    [ -e /run/vmlinux ] || cp /images/vmlinux /run/vmlinux
    guest_initrd $name 'echo 1 >/proc/sys/kernel/sysrq; echo ready; read -r < <(sleep 1000)'
    # Only a crash may end it.
    guest_config $name "$type" /run/vmlinux /run/$name.cpio "on_crash = \"$2\"" 'on_reboot = "preserve"' \
        'extra = "console=hvc0 loglevel=4 rdinit=/init xen_legacy_crash"'
    guest_create $name && wait_console $name 60 ready || return 1
    xl sysrq $name c || return 1
    wait_console $name 30 'sysrq triggered crash'
}

xen_case crash-destroy-pv all 60 xids "a PV guest that crashes is destroyed (on_crash)"
case_crash_destroy_pv() {
    crashes pv destroy && wait_for 30 guest_gone crash && store_answers
}

xen_case crash-restart-pvh all 120 xids "a PVH guest that crashes is restarted (on_crash)"
case_crash_restart_pvh() {
    crashes pvh restart && wait_for 90 restarted crash && store_answers
}

restarted() {
    # shellcheck disable=SC2154 # lib.sh's
    [ "$(grep -c '^ready' "$log/guest-$1.log")" -eq 2 ]
}

xen_case destroy-at-boot all 90 xids "xl destroy of a guest whose kernel is starting, three times"
case_destroy_at_boot() {
    for _ in 1 2 3; do
        guest_linux boot pv '' || return 1
        xl destroy boot || return 1
        guest_gone boot 2>/dev/null && ! xenstore-ls -f / | grep -E '^/(vm|libxl)/.|^/local/domain/[1-9]' || return 1
    done
    store_answers
}

xen_case destroy-in-traffic all 90 xids,C,oxenstored "xl destroy of a guest that keeps its ring to the store full"
case_destroy_in_traffic() {
    guest_linux traffic pv "$at_store" && wait_console traffic 60 busy || return 1
    xl destroy traffic || return 1
    guest_gone traffic 2>/dev/null && ! xenstore-ls -f / | grep -E '^/(vm|libxl)/.|^/local/domain/[1-9]' || return 1
    store_answers
}

xen_case create-killed all 120 xids,C,oxenstored "xl create is killed at three places; xl destroy clears what it left"
case_create_killed() {
    local events creator domid out=/run/killed.out
    [ -e /run/vmlinux ] || cp /images/vmlinux /run/vmlinux
    guest_initrd killed 'read -r < <(sleep 1000)'
    guest_config killed pv /run/vmlinux /run/killed.cpio
    for events in 2 12 30; do
        # So many changes below /local/domain, and xl is no more.
        xenstore-watch -n $events /local/domain >$out &
        wait_for 20 test -s $out || return 1
        xl create /run/killed.cfg </dev/null >/dev/null 2>&1 &
        creator=$!
        wait %?xenstore-watch || return 1
        kill -KILL $creator
        wait $creator
        rm -f $out
        for domid in $(xl list | awk 'NR > 2 {print $2}'); do
            xl destroy "$domid" || return 1
        done
        ! xenstore-ls -f / | grep -E '^/(vm|libxl)/.|^/local/domain/[1-9]' && store_answers || return 1
    done
}
