# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# That Xen, dom0 and guests come up at all on each xenstored.

xen_case boot quick 20 xids,C,oxenstored "Xen boots and dom0 reaches user space"
case_boot() {
    xl info | grep -E '^(xen_version|virt_caps|xen_commandline|release)'
    xl info | grep -q '^xen_major *: 4$' && xl list | grep -q '^Domain-0 '
}

xen_case dom0-store quick 30 xids,C,oxenstored "the xenstored under test serves dom0's socket and its kernel"
case_dom0_store() {
    local kind exe
    kind=$(cat /run/xenstored.kind)
    exe=$(readlink "/proc/$(cat /run/xenstored.pid)/exe")
    echo "$kind: $exe"
    [ "${exe##*/}" = "${kind/#xids/xids-xenstored}" ] || [ "$kind:${exe##*/}" = C:xenstored ] || return 1
    xenstore-write /tool/lab "over the socket" || return 1
    # Through dom0's kernel and its ring, as a guest does.
    [ "$(XENSTORED_PATH=/dev/xen/xenbus xenstore-read /tool/lab)" = "over the socket" ] || return 1
    XENSTORED_PATH=/dev/xen/xenbus xenstore-write /tool/lab "over the ring" || return 1
    [ "$(xenstore-read /tool/lab)" = "over the ring" ] || return 1
    xenstore-rm /tool/lab && ! xenstore-exists /tool/lab
}

linux_boots() {
    # shellcheck disable=SC2016 # the guest expands it
    guest_linux linux "$1" 'echo "domain $(xenstore-read domid) is $(xenstore-read name)"' || return 1
    wait_console linux 60 'guest: exit status 0' || return 1
    wait_for 20 guest_gone linux || return 1
    console linux
    console_has linux 'domain [0-9]+ is linux'
}

xen_case linux-pv quick 90 xids,C,oxenstored "a Linux PV guest boots, reads xenstore and goes"
case_linux_pv() {
    linux_boots pv
}

xen_case linux-pvh quick 120 xids,C,oxenstored "a Linux PVH guest boots, reads xenstore and goes"
case_linux_pvh() {
    linux_boots pvh
}
