# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# The bare guest's platform on the real Xen: what it promises, and the life of a domain.
# shellcheck disable=SC2154 # guests: of lib.sh

# life_starts: a guest that lives until it is told otherwise, and has found that everything works.
life_starts() {
    guest_config life pvh "$guests/life" "" 'memory = 32' "$@" || return 1
    guest_create life || return 1
    life_works 1
}

# life_works COUNT: it has looked so often whether everything works, and it did.
life_works() {
    wait_console life 60 "works $1 as|WRONG" || return 1
    ! console_has life WRONG || { console life; return 1; }
}

# life_free: the pages that each look found free.
life_free() {
    console life | sed -n 's/.*works [0-9]* as domain [0-9]*, \([0-9]*\) pages free.*/\1/p'
}

xen_case bare-platform quick 90 xids,C,oxenstored "a bare guest's platform keeps its promises to itself, and leaks nothing"
case_bare_platform() {
    guest_config alone pvh "$guests/conform" "" 'memory = 32' 'extra = "role=alone"'
    # It may be gone before anybody asks for its domid.
    guest_create alone -p && xl unpause alone || return 1
    wait_console alone 60 'conform alone: |Bail out' || return 1
    console alone
    console_has alone 'conform alone: good' || return 1
    wait_for 20 guest_gone alone
}

xen_case bare-platform-two all 240 xids,C,oxenstored "two bare guests keep the platform's promises to each other, and leak nothing"
case_bare_platform_two() {
    local a b
    guest_config a pvh "$guests/conform" "" 'memory = 32' 'extra = "role=a"'
    guest_config b pvh "$guests/conform" "" 'memory = 32' 'extra = "role=b"'
    a=$(guest_create a) && b=$(guest_create b) || return 1
    xenstore-write "/local/domain/$a/data/peer" "$b" "/local/domain/$b/data/peer" "$a" || return 1
    wait_console a 240 'conform a: |Bail out' || return 1
    console a
    console b
    console_has a 'conform a: good' || return 1
    wait_for 20 guest_gone a || return 1
    xl destroy b
}

xen_case bare-poweroff quick 90 xids,C,oxenstored "a bare guest powers off and reboots when xl asks it to, and survives a word that it does not know"
case_bare_poweroff() {
    local domid
    life_starts && domid=$(xl domid life) || return 1
    xenstore-write "/local/domain/$domid/control/shutdown" 'dance now' || return 1
    wait_console life 30 'says "dance.now"' || return 1
    [ -z "$(xenstore-read "/local/domain/$domid/control/shutdown")" ] || return 1
    [ "$(xenstore-read "/local/domain/$domid/control/feature-suspend")" = 1 ] || return 1
    xl reboot life </dev/null || return 1
    wait_console life 60 'bye: reboot.*works 1 as' || return 1
    [ "$(xl domid life)" != "$domid" ] || return 1
    xl shutdown -w life </dev/null || return 1
    console life
    console_has life 'bye: poweroff' && wait_for 20 guest_gone life
}

# The state's letters are r, b, p, s (shut down), c (crashed), d.
life_crashed() {
    [[ $(xl list life | awk 'NR == 2 {print $5}') = *c* ]]
}

xen_case bare-crash all 60 xids "a bare guest that is told to crash does so, and xl sees it"
case_bare_crash() {
    local domid
    life_starts 'on_crash = "preserve"' && domid=$(xl domid life) || return 1
    xenstore-write "/local/domain/$domid/control/shutdown" crash || return 1
    wait_for 30 life_crashed || { xl list; return 1; }
    xl destroy life
}

xen_case bare-checkpoint all 150 xids "a bare guest goes on after xl save -c"
case_bare_checkpoint() {
    life_starts || return 1
    xl save -c life /run/life.save </dev/null >/dev/null 2>&1 || return 1
    rm -f /run/life.save
    wait_console life 60 'resumed here' && life_works 2 || return 1
    console life
    [ "$(life_free | sort -u | wc -l)" = 1 ] || { echo "pages are missing"; return 1; }
    xl shutdown -w life </dev/null
}

xen_case bare-save all 240 xids,C "a bare guest comes back from xl save and xl restore, twice"
case_bare_save() {
    local turn
    life_starts || return 1
    for turn in 2 3; do
        xl save life /run/life.save </dev/null >/dev/null 2>&1 || return 1
        guest_gone life || return 1
        xl restore /run/life.save </dev/null >/dev/null 2>&1 || return 1
        life_works $turn || return 1
    done
    rm -f /run/life.save
    console life
    console_has life 'resumed elsewhere.*resumed elsewhere' || return 1
    [ "$(life_free | sort -u | wc -l)" = 1 ] || { echo "pages are missing"; return 1; }
    xl shutdown -w life </dev/null && console_has life 'bye: poweroff'
}
