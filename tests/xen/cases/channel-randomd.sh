# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# xids-randomd in dom0 gives guests their entropy.

# shellcheck disable=SC2034,SC2154 # case_run's; lib.sh's $slower and $log
keeps_guests=1

# status_of DOMID FIELD: what the control socket says of a guest.
status_of() {
    xids-randomd --status | tr '{' '\n' | sed -n "s/^\"domid\":$1,.*\"$2\":\"\{0,1\}\([^\",}]*\).*/\1/p"
}

# seed_line DOMID: a line of xids-entropy-demo, whose first group is the fingerprint.
seed_line() {
    echo "domain $1: seed fingerprint ([0-9a-f]{16}) grade HOST, "
}

# seeded PLACE: one run of the guest program; adds its fingerprint to the file.
seeded() {
    local text pattern
    text=$(at "$1" 60 "xids-entropy-demo --timeout $((40 * slower)) --pull 65536") || { echo "$1: $text"; return 1; }
    echo "$text"
    pattern=$(seed_line "$(agent_domid "$1")")
    [[ $text =~ $pattern ]] && echo "${BASH_REMATCH[1]}" >>/run/fingerprints
}

all_different() {
    [ "$(sort -u /run/fingerprints | wc -l)" -eq "$1" ] && [ "$(wc -l </run/fingerprints)" -eq "$1" ]
}

xen_case randomd-linux quick 90 xids,C,oxenstored "randomd seeds a Linux PVH guest, twice and differently; its status agrees"
case_randomd_linux() {
    local guest
    rm -f /run/fingerprints
    agent_guest one pvh && randomd_start || return 1
    guest=$(agent_domid one)
    wait_for 20 xenstore-exists "/local/domain/$guest/device/randomd/0/backend" || return 1
    [ "$(status_of "$guest" state)" = offered ] || { xids-randomd --status; return 1; }
    seeded one && seeded one && all_different 2 || return 1
    xids-randomd --status
    [ "$(status_of "$guest" hellos)" -eq 2 ] && [ "$(status_of "$guest" bytes)" -ge 131072 ] &&
        [ "$(status_of "$guest" errors)" -eq 0 ] || return 1
    randomd_end && ! xenstore-exists /local/domain/0/backend/randomd &&
        ! xenstore-exists "/local/domain/$guest/device/randomd" && ! grep -E 'error|warning' "$log/randomd"
}

xen_case randomd-guests all 150 xids "two guests, a second boot of a third: nobody gets the same"
case_randomd_guests() {
    local line text
    rm -f /run/fingerprints
    agent_guest one pvh && agent_guest two pv && randomd_start && seeded one && seeded two || return 1
    for _ in 1 2; do
        rm -f "$log/guest-boots.log"
        guest_linux boots pv "xids-entropy-demo --timeout $((40 * slower)) --pull 0" || return 1
        wait_console boots 60 'guest: exit status 0' && wait_for 20 guest_gone boots || return 1
        line=$(seed_line '[0-9]+')
        text=$(console boots)
        [[ $text =~ $line ]] || return 1
        echo "${BASH_REMATCH[0]}"
        echo "${BASH_REMATCH[1]}" >>/run/fingerprints
    done
    all_different 4 && randomd_end
}

# seeds PLACE COUNT: whether the guest's console has so many different ones.
seeds() {
    local pattern
    pattern=$(seed_line "$(agent_domid "$1")")
    [ "$(tr -d '\r' <"$log/guest-$1.log" | sed -nE "s/^$pattern.*/\1/p" | sort -u | wc -l)" -ge "$2" ]
}

gone_for_guest() {
    ! xenstore-exists "/local/domain/$1/device/randomd"
}

xen_case randomd-killed all 150 xids "randomd dies by kill -9, comes again, stops and comes again: its guests go on"
case_randomd_killed() {
    local guest stays seen
    agent_guest one pvh && randomd_start || return 1
    guest=$(agent_domid one)
    # Lines of cases before are on the console, too.
    seen=0
    while seeds one $((seen + 1)); do seen=$((seen + 1)); done
    agent_start stays one "echo \$BASHPID >/run/stays; exec xids-entropy-demo --stay --timeout $((60 * slower)) --pull 4096 >/dev/hvc0" &&
        wait_for 60 seeds one $((seen + 1)) || return 1
    randomd_end KILL && randomd_start && wait_for 60 seeds one $((seen + 2)) || return 1
    xids-randomd --status
    [ "$(status_of "$guest" state)" = connected ] || return 1
    randomd_end TERM && wait_for 10 gone_for_guest "$guest" && randomd_start && wait_for 60 seeds one $((seen + 3)) || return 1
    # shellcheck disable=SC2016 # the guest expands it
    at one 10 'kill $(cat /run/stays)' && agent_end "$stays" one 20 && randomd_end
}

# ---- a unikernel ----

# prints NAME: the fingerprints that the unikernel has printed, all of them or, with $2, whether there are so many, which
# differ.
prints() {
    local all
    all=$(tr -d '\r' <"$log/guest-$1.log" | sed -nE 's/^domain [0-9]+: seed fingerprint ([0-9a-f]{16}) grade HOST .*/\1/p')
    [ $# -gt 1 ] || { echo "$all"; return; }
    [ "$(wc -l <<<"$all")" -ge "$2" ] && [ -z "$(sort <<<"$all" | uniq -d)" ]
}

# types NAME TEXT: on the guest's console.
types() {
    local tty
    tty=$(xenstore-read "/local/domain/$(xl domid "$1")/console/tty") && printf '%s' "$2" >"$tty"
}

xen_case randomd-unikernel quick 60 xids,C,oxenstored "a PVH unikernel prints the fingerprint of its seed from randomd, and of another when asked"
case_randomd_unikernel() {
    local domid
    randomd_start && guest_config entropy pvh "$guests/entropy" "" 'memory = 32' 'extra = "pull=1048576"' || return 1
    domid=$(guest_create entropy) && wait_console entropy 30 'bytes pulled' || return 1
    console entropy | tr -d '\r' | sed 's/^/@ /'
    prints entropy 1 && console_has entropy "domain $domid: seed fingerprint" &&
        console_has entropy 'first seed after [1-9][0-9]* us, of which' || return 1
    types entropy $'\n' && wait_for 20 prints entropy 2 || return 1
    console entropy | tail -n 1
    xids-randomd --status
    [ "$(status_of "$domid" state)" = connected ] && [ "$(status_of "$domid" hellos)" -eq 2 ] &&
        [ "$(status_of "$domid" bytes)" -ge 1048576 ] && [ "$(status_of "$domid" errors)" -eq 0 ] || return 1
    xl destroy entropy && randomd_end
}

xen_case randomd-unikernel-alone all 60 xids,C,oxenstored "a unikernel without a daemon says what its own sources are worth, and takes the host's bytes when there are some"
case_randomd_unikernel_alone() {
    guest_config entropy pvh "$guests/entropy" "" 'memory = 32' && guest_create entropy &&
        wait_console entropy 30 '  events: ' || return 1
    console entropy | tr -d '\r' | sed 's/^/@ /'
    # LOCAL by at least one source that is good, or no seed at all: never anything between.
    if console_has entropy 'seed fingerprint [0-9a-f]{16} grade LOCAL '; then
        console_has entropy '  (hardware seed|hardware random|jitter): good, ' || return 1
    else
        console_has entropy 'no seed, grade NONE' || return 1
    fi
    [ -z "$(prints entropy)" ] && randomd_start && wait_for 30 prints entropy 1 || return 1
    console entropy | tail -n 7
    xl destroy entropy && randomd_end
}

xen_case randomd-unikernel-life all 240 xids,C,oxenstored "a unikernel is seeded anew by a daemon that comes after kill -9, after a stop, after save, each restore, and a checkpoint"
case_randomd_unikernel_life() {
    local file=/run/entropy.save
    randomd_start && guest_config entropy pvh "$guests/entropy" "" 'memory = 32' && guest_create entropy &&
        wait_for 30 prints entropy 1 || return 1
    randomd_end KILL && randomd_start && wait_for 30 prints entropy 2 || return 1
    randomd_end TERM && randomd_start && wait_for 30 prints entropy 3 || return 1
    xl save entropy $file </dev/null && wait_for 20 guest_gone entropy || return 1
    xl restore $file </dev/null && wait_for 30 prints entropy 4 || return 1
    # The image again, beside nobody: another copy of the same guest.
    xl destroy entropy && xl restore $file </dev/null && wait_for 30 prints entropy 5 || return 1
    rm $file
    # A checkpoint: the guest goes on in its domain, and its image knows what it knew.
    xl save -c entropy $file </dev/null && wait_for 30 prints entropy 6 || return 1
    xl destroy entropy && xl restore $file </dev/null && wait_for 30 prints entropy 7 || return 1
    rm $file
    # Saved while nobody serves: it finds the daemon that comes later.
    randomd_end TERM && xl save entropy $file </dev/null && xl restore $file </dev/null && randomd_start &&
        wait_for 30 prints entropy 8 || return 1
    rm $file
    console entropy
    xl destroy entropy && randomd_end
}

# ---- a Linux guest's kernel ----

# It prints what its kernel's generator gives, all the time; the agent feeds it.
# shellcheck disable=SC2016 # the guest expands it
drawing='
xids-entropy-agent --foreground >/dev/hvc0 2>&1 &
exec {never}<> <(:)
while :; do
    echo "drawn $(head -c 16 /dev/urandom | od -An -tx8 | tr -d " ")"
    read -r -t 0.2 -u "$never"
done'

# fed NAME COUNT: whether the guest's kernel was fed so often, each time in another epoch, and has been drawn from since.
fed() {
    tr -d '\r' <"$log/guest-$1.log" | awk -v count="$2" '
        /the kernel.s generator was fed, 256 bits credited, epoch [0-9a-f]+$/ { times++; after = 0; again += seen[$NF]++ }
        /^drawn [0-9a-f]+$/ { after++ }
        END { exit !(times == count && again == 0 && after >= 3) }'
}

# drawn NAME: what was drawn while the kernel had been fed: not between a resume and the agent, nor the first afterwards,
# which can have been drawn before and printed after.
drawn() {
    tr -d '\r' <"$log/guest-$1.log" | awk '
        /was fed/ { on = 1; after = 0 }
        /beginning anew|Restore|guest: up/ { on = 0 }
        on && /^drawn [0-9a-f]+$/ && after++ > 0 { print $2 }'
}

# copied NAME COMMAND...: with a line in the guest's log: what it draws from here on, until it is fed, a copy draws too.
copied() {
    echo "Restore" >>"$log/guest-$1.log"
    shift
    "$@" </dev/null
}

feeds() {
    local name=fed-$1 file=/run/fed.save
    rm -f "$log/guest-$name.log"
    randomd_start && guest_linux "$name" "$1" "$drawing" && wait_for 60 fed "$name" 1 || return 1
    copied "$name" xl save -c "$name" $file && wait_for 30 fed "$name" 2 || return 1
    # Two copies of one image.
    xl destroy "$name" && copied "$name" xl restore $file && wait_for 30 fed "$name" 3 || return 1
    xl destroy "$name" && copied "$name" xl restore $file && wait_for 30 fed "$name" 4 || return 1
    console "$name" | grep -E 'was fed|beginning anew'
    if [ "$(drawn "$name" | wc -l)" -lt 8 ] || [ -n "$(drawn "$name" | sort | uniq -d)" ]; then
        drawn "$name"
        return 1
    fi
    xl destroy "$name" && rm $file && randomd_end
}

xen_case randomd-agent-pvh quick 120 xids,C,oxenstored "the kernel of a Linux PVH guest is fed at boot, after a checkpoint and in each copy of it: no two draw the same"
case_randomd_agent_pvh() {
    feeds pvh
}

xen_case randomd-agent-pv all 120 xids,C,oxenstored "the same for a PV guest"
case_randomd_agent_pv() {
    feeds pv
}
