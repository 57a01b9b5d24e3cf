# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# Linux guests that stay for many cases, and commands in them: an agent reads these from the guest's console and prints
# there what came of them. Sourced by lib.sh. Booting a guest for each case would take most of a suite's time.
#
# A place is the name of such a guest, or dom0.
# shellcheck disable=SC2154 # lib.sh's $log

# Each line is a name and a command; its output and, at last, its status come back in lines that begin with the name.
# shellcheck disable=SC2016 # the guest expands it
agent_script='
stty -echo
echo "agent: ready"
while read -r id command; do
    {
        (eval "$command") >"/run/$id" 2>&1 </dev/null
        status=$?
        sed "s/^/$id: /" "/run/$id"
        rm -f "/run/$id"
        echo "$id= $status"
    } &
done'

# processes_with WORD: the numbers of those that have it in their command line.
processes_with() {
    local file words
    for file in /proc/[0-9]*/cmdline; do
        mapfile -d '' -t words 2>/dev/null <"$file"
        [[ " ${words[*]} " != *" $1 "* ]] || basename "${file%/cmdline}"
    done
}

# agent_guest NAME pv|pvh [LINE...]: sees to it that there is such a guest. LINE as for guest_config. What there is then
# is what must remain. A file whose cases call this sets keeps_guests=1; the last of such files in a row ends the guests.
agent_guest() {
    local name=$1 type=$2 domid
    shift 2
    [ ! -e "/run/kept/$name" ] || return 0
    rm -f "$log/guest-$name.log"
    [ -e /run/vmlinux ] || cp /images/vmlinux /run/vmlinux
    guest_initrd "$name" "$agent_script"
    guest_config "$name" "$type" /run/vmlinux "/run/$name.cpio" "$@"
    domid=$(guest_create "$name") && wait_console "$name" 60 'agent: ready' || return 1
    mkdir -p /run/kept
    # What processes it has must be known to those who tidy up.
    printf '%s %s %s\n' "$domid" "$(xenstore-read "/local/domain/$domid/console/tty")" \
        "$(processes_with "/run/$name.cfg" | tr '\n' ' ')" >"/run/kept/$name"
    remains >/run/remains.first
}

# agent_domid PLACE
agent_domid() {
    local domid=0
    [ "$1" = dom0 ] || read -r domid _ <"/run/kept/$1"
    echo "$domid"
}

# agent_start ID PLACE COMMAND: starts COMMAND, one line, there. The variable ID becomes the name for agent_end.
agent_start() {
    local -n agent_id=$1
    local place=$2 command=$3 tty
    agent_count=$((${agent_count:-0} + 1))
    agent_id=job.$BASHPID.$agent_count
    if [ "$place" = dom0 ]; then
        (
            (eval "$command") >"/run/$agent_id" 2>&1 </dev/null
            echo $? >"/run/$agent_id.status"
        ) &
        return
    fi
    read -r _ tty _ <"/run/kept/$place" && printf '%s %s\n' "$agent_id" "$command" >"$tty"
}

agent_ended() {
    if [ "$2" = dom0 ]; then
        [ -s "/run/$1.status" ]
    else
        console_has "$2" $'\n'"$1= [0-9]+"
    fi
}

# agent_end ID PLACE SECONDS: waits for its end, prints its output and returns its status; 124 when it does not end.
agent_end() {
    local id=$1 place=$2 status text
    if ! wait_for "$3" agent_ended "$id" "$place" >/dev/null; then
        echo "no end in time in $place: $id"
        return 124
    fi
    if [ "$place" = dom0 ]; then
        cat "/run/$id"
        read -r status <"/run/$id.status"
        rm "/run/$id" "/run/$id.status"
    else
        text=$(tr -d '\r' <"$log/guest-$place.log")
        sed -n "s/^$id: //p" <<<"$text"
        status=$(sed -n "s/^$id= //p" <<<"$text")
    fi
    return "$status"
}

# at PLACE SECONDS COMMAND: both.
at() {
    local id
    agent_start id "$1" "$3" && agent_end "$id" "$1" "$2"
}
