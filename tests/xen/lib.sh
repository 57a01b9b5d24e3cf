# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# What tests in dom0 use. Sourced by tests/xen/dom0.sh and by every `lab exec`, cases included.
programs=/run/programs
export PATH=$programs:/usr/sbin:/usr/bin LD_LIBRARY_PATH=$programs HOME=/root
log=/lab/log
read -r slower </lab/slower
# shellcheck disable=SC2034 # for cases
guests=$programs/guests

# programs_update: our programs and unikernels into $programs when the host has newer ones. A program that runs keeps its old file.
programs_update() {
    (
        flock 9
        ! cmp -s /lab/key "$programs/key" || exit 0
        rm -rf "$programs.new"
        cp -R /lab/programs "$programs.new" && cp -R /lab/guests /lab/programs.cpio /lab/key "$programs.new/" &&
            rm -rf "$programs" && mv "$programs.new" "$programs"
    ) 9>/run/programs.lock
}

# A pause without a process, which costs an emulated processor much: waiting must not eat the time of what is waited for.
exec {never}<> <(:)
pause() {
    ! read -r -t "$1" -u "$never"
}

# wait_for SECONDS COMMAND...: until it returns 0. Returns 1 when it did not within that time, which is meant for a machine
# that has nothing else to do.
wait_for() {
    local deadline=$((SECONDS + $1 * slower))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            printf 'waited in vain for: %s\n' "$*"
            return 1
        fi
        pause 0.2
    done
}

# file_has FILE REGEXP: whether the text has it; $ and ^ are the text's ends, not a line's.
file_has() {
    local text
    mapfile -d '' -t text 2>/dev/null <"$1" && [[ ${text[*]} =~ $2 ]]
}

# ---- daemons ----

# xenstored_start xids|C|oxenstored [OPTION...]: as the machine's only xenstored. Returns when it answers.
xenstored_start() {
    local kind=$1
    shift
    echo "$kind" >/run/xenstored.kind
    # In the foreground, so that what they say is seen.
    case $kind in
    xids) setsid xids-xenstored --foreground --pid-file /run/xenstored.pid "$@" ;;
    C) setsid xenstored --no-fork --pid-file /run/xenstored.pid "$@" ;;
    oxenstored) setsid oxenstored --no-fork --pid-file /run/xenstored.pid "$@" ;;
    esac >"$log/xenstored" 2>&1 </dev/null &
    wait_for 20 xenstore-exists / || { cat "$log/xenstored"; return 1; }
}

xenconsoled_start() {
    xenconsoled --log=guest --log-dir=$log --pid-file=/run/xenconsoled.pid </dev/null >"$log/xenconsoled" 2>&1
}

# randomd_start [OPTION...]: returns when it answers. Its log goes on over several starts.
randomd_start() {
    # In a shell of its own, without job control: of an interactive one's jobs setsid makes another process.
    (
        setsid xids-randomd --foreground --log-level debug "$@" >>"$log/randomd" 2>&1 </dev/null &
        echo $! >/run/randomd.pid
    )
    wait_for 20 xids-randomd --status || { cat "$log/randomd"; return 1; }
}

# randomd_end [SIGNAL]: TERM unless told; until it has ended.
randomd_end() {
    local pid
    read -r pid </run/randomd.pid
    kill "-${1:-TERM}" "$pid" && wait_for 20 process_gone "$pid"
}

process_gone() {
    ! kill -0 "$1"
}

# ---- guests ----

# guest_initrd NAME SCRIPT [FILE...]: /run/NAME.cpio, a Linux guest's root with our programs in /programs, which runs
# SCRIPT (a bash script's text) and then powers off; SCRIPT '' is a shell on the console. Each FILE goes to its /.
guest_initrd() {
    local name=$1 script=$2 dir=/run/guest-$1.root
    shift 2
    rm -rf "$dir"
    mkdir -p "$dir"
    [ -z "$script" ] || printf '%s\n' "$script" >"$dir/guest.sh"
    [ $# -eq 0 ] || cp -R "$@" "$dir/"
    (cd "$dir" && find . | cpio -o -H newc 2>/dev/null | cat /images/guest.cpio "$programs/programs.cpio" - >"/run/$name.cpio")
    rm -rf "$dir"
}

# guest_config NAME pv|pvh KERNEL [RAMDISK [LINE...]]: /run/NAME.cfg; each LINE is one of xl.cfg(5) and beats what is here.
guest_config() {
    local name=$1 type=$2 kernel=$3 ramdisk=${4:-}
    shift $(($# > 4 ? 4 : $#))
    {
        printf 'name = "%s"\ntype = "%s"\nkernel = "%s"\n' "$name" "$type" "$kernel"
        # The kernel's tests of its ciphers and its care for leaky processors cost time here and tell us nothing.
        [ -z "$ramdisk" ] || printf 'ramdisk = "%s"\nextra = "%s"\n' "$ramdisk" \
            "console=hvc0 loglevel=4 rdinit=/init mitigations=off cryptomgr.notests"
        printf 'memory = 160\nvcpus = 1\non_crash = "destroy"\n'
        [ $# -eq 0 ] || printf '%s\n' "$@"
    } >"/run/$name.cfg"
}

# guest_create NAME [XL'S OPTION...]: starts what guest_config made, prints its domid.
guest_create() {
    local name=$1
    shift
    # Without standard input from /dev/null xl's child, which watches the guest, dies here.
    xl create "$@" "/run/$name.cfg" </dev/null >"$log/$name.create" 2>&1 || { cat "$log/$name.create"; return 1; }
    xl domid "$name" 2>/dev/null
}

# guest_linux NAME pv|pvh SCRIPT [FILE...]: initrd, configuration and start of a Linux guest in one.
guest_linux() {
    local name=$1 type=$2
    shift 2
    [ -e /run/vmlinux ] || cp /images/vmlinux /run/vmlinux
    guest_initrd "$name" "$@"
    guest_config "$name" "$type" /run/vmlinux "/run/$name.cpio"
    guest_create "$name"
}

# console NAME: what the guest has printed so far.
console() {
    cat "$log/guest-$1.log"
}

console_has() {
    file_has "$log/guest-$1.log" "$2"
}

# wait_console NAME SECONDS REGEXP: until the guest's console has it. Shows the console's end when it does not come.
wait_console() {
    wait_for "$2" console_has "$1" "$3" || { tail -n 20 "$log/guest-$1.log"; return 1; }
}

guest_gone() {
    ! xl domid "$1"
}

# shellcheck source=SCRIPTDIR/agent.sh
. /lab/tests/agent.sh
# shellcheck source=SCRIPTDIR/case.sh
. /lab/tests/case.sh
