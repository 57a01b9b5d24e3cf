#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Debian's unmodified test-xenstore and xenstore-* tools against xids-xenstored on a bare socket, and the daemon's own
# manners: its socket, its files, its end. Speaks TAP.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
daemon=$XIDS_BUILDDIR/xids-xenstored
work=$(mktemp -d)
# shellcheck disable=SC2317 # called by the trap
leave() {
    [ ! -s "$work/pid" ] || kill "$(cat "$work/pid")" 2>/dev/null
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 130' HUP INT TERM
export XENSTORED_PATH=$work/run/socket

# The daemon in the background; returns when it serves.
start() {
    "$daemon" -D -F "$work/pid" --control "$work/control" </dev/null >"$work/log" 2>&1
}

# eventually COMMAND...: tries for half a minute until it succeeds.
eventually() {
    local i
    for ((i = 0; i < 600; i++)); do
        "$@" 2>/dev/null && return 0
        sleep 0.05
    done
    return 1
}

# Whether a process has ended; one that nobody has collected yet has.
gone() {
    ! kill -0 "$1" || grep -q '^State:.*Z' "/proc/$1/status"
}

stop() {
    local pid
    pid=$(cat "$work/pid")
    kill -TERM "$pid" && eventually gone "$pid"
}

prints() {
    local want=$1 got
    shift
    got=$("$@" </dev/null 2>&1)
    [ "$got" = "$want" ] || { printf 'got: %s\nnot: %s\n' "$got" "$want"; return 1; }
}

fails() {
    ! "$@" </dev/null
}

tap_ok "the daemon returns when it serves" start
tap_ok "its socket is for its owner alone" prints 600 stat -c %a "$XENSTORED_PATH"
tap_ok "a second daemon does not take the socket" fails "$daemon" -D -N
if debian=$("$XIDS_SRCDIR/tests/interop/debian-xen.sh" 2>"$work/download"); then
    tools=$debian/usr/bin
    bin=$debian/usr/lib/xen-4.17/bin
    # shellcheck disable=SC2317 # called through tap_ok
    watch_prints() {
        timeout 60 "$tools/xenstore-watch" -n 2 /w >"$work/watch" </dev/null &
        local watcher=$!
        eventually grep -q /w "$work/watch" && "$tools/xenstore-write" /w/x 1 && wait "$watcher" && prints "$(printf '/w\n/w/x')" cat "$work/watch"
    }
    # shellcheck disable=SC2317
    many_children() {
        local i names=()
        for ((i = 0; i < 1500; i++)); do
            names+=("/many/a-child-with-a-long-name-$i" "$i")
        done
        "$tools/xenstore-write" "${names[@]}" && prints 1500 sh -c "'$tools/xenstore-list' /many | wc -l"
    }
    # A guest over the socket, as another domain is privileged, goes beyond path-max again and again.
    # shellcheck disable=SC2317
    denied_is_logged() {
        local pid i other=$work/other/socket
        XENSTORED_PATH=$other "$daemon" -D -N -p 1 -Q path-max=9 </dev/null >"$work/denied" 2>&1 &
        pid=$!
        eventually [ -S "$other" ]
        for ((i = 0; i < 30; i++)); do
            XENSTORED_PATH=$other "$tools/xenstore-read" "/a-long-path-$i" 2>/dev/null </dev/null
        done
        kill -TERM "$pid" && wait "$pid"
        cat "$work/denied"
        prints 1 grep -c denied "$work/denied" &&
            grep -q 'domain 0 was denied something by quota path-max: /a-long-path-0 ' "$work/denied"
    }
    # shellcheck disable=SC2317
    quota_table() {
        "$bin/xenstore-control" quota set watches 300 && "$bin/xenstore-control" quota >"$work/quota" &&
            grep -q '^watches  *:  *300 ' "$work/quota" && "$bin/xenstore-control" quota 0 >"$work/quota" &&
            grep -q '^watches  *:  *[0-9]* (max  *[0-9]*)$' "$work/quota"
    }
    tap_ok "what a quota denies is logged once, not each time" denied_is_logged
    tap_ok "xenstore-control sets and shows quotas" quota_table
    tap_ok "xenstore-control memreport prints a table" sh -c "'$bin/xenstore-control' memreport | grep -q '^nodes  *:  *[0-9]'"
    tap_ok "test-xenstore passes" "$bin/test-xenstore"
    tap_ok "test-xenstore passes with many iterations" "$bin/test-xenstore" -i 50
    tap_ok "test-xenstore passes at random" "$bin/test-xenstore" -r 2
    tap_ok "xenstore-write writes several nodes" "$tools/xenstore-write" /a/b 1 /a/c 2
    tap_ok "xenstore-read reads them" prints "$(printf '1\n2')" "$tools/xenstore-read" /a/b /a/c
    tap_ok "xenstore-list lists them" prints "$(printf 'b\nc')" "$tools/xenstore-list" /a
    tap_ok "xenstore-exists finds a node" "$tools/xenstore-exists" /a/b
    tap_ok "xenstore-exists finds no missing node" fails "$tools/xenstore-exists" /a/x
    tap_ok "xenstore-chmod sets permissions" "$tools/xenstore-chmod" /a/b n0 r5
    tap_ok "xenstore-ls shows tree and permissions" prints \
        "$(printf 'b = "1"   (n0,r5)\nc = "2"   (n0)')" sh -c "'$tools/xenstore-ls' -p /a | sed 's/ [ .]*(/   (/'"
    tap_ok "xenstore-watch sees a change" watch_prints
    tap_ok "more children than fit in a message are listed" many_children
    tap_ok "xenstore-rm removes a tree" "$tools/xenstore-rm" /a
    tap_ok "what was removed is gone" fails "$tools/xenstore-read" /a/b
    tap_ok "xenstore-rm -t tidies up empty parents" sh -c "'$tools/xenstore-write' /t/u/v 1 &&
        '$tools/xenstore-rm' -t /t/u/v && ! '$tools/xenstore-exists' /t/u"
    tap_ok "xenstore-control check answers" "$bin/xenstore-control" check
    tap_ok "xenstore-read over a relative path" sh -c "'$tools/xenstore-write' rel 7 &&
        [ \"\$('$tools/xenstore-read' /local/domain/0/rel)\" = 7 ]"
else
    tap_skip "Debian's tools" "they cannot be downloaded"
fi
tap_ok "SIGTERM ends it" stop
tap_ok "and leaves no socket, pid or control file" prints "" \
    find "$work" \( -type s -o -name pid \)
kill_hard() {
    local pid
    start || return
    pid=$(cat "$work/pid")
    kill -KILL "$pid" && eventually gone "$pid" && [ -S "$XENSTORED_PATH" ] && start
}
tap_ok "a socket left by a killed daemon is replaced" kill_hard
tap_ok "and the new daemon ends cleanly too" stop
# relative: all names it is given are those of the folder that it is started in, also for who is to take its place.
relative() {
    printf '[xenstored]\npid-file = pid\n' >"$work/settings"
    (cd "$work" && XENSTORED_PATH=run/socket "$daemon" -D --config settings --control control) \
        </dev/null >"$work/log" 2>&1
}
updated() {
    local program=$XIDS_BUILDDIR/.libs/xids-xenstored
    [ -x "$program" ] || program=$daemon
    "$bin/xenstore-control" live-update "$program"
}
tap_ok "names may be relative to where it is started" relative
if [ -n "${bin:-}" ]; then
    tap_ok "what takes its place finds them, too" updated
else
    tap_skip "what takes its place finds them, too" "Debian's tools cannot be downloaded"
fi
tap_ok "it ends" stop
tap_ok "and leaves none of these files" prints "" find "$work" \( -type s -o -name pid \)
exits() {
    local want=$1 got=0
    shift
    "$@" </dev/null || got=$?
    [ "$got" -eq "$want" ] || { echo "exit status $got"; return 1; }
}
for program in xids-xenstored xids-randomd xids-vchan xids-sim; do
    tap_ok "$program refuses an unknown option with status 2" exits 2 "$XIDS_BUILDDIR/$program" --nonsense
done
tap_ok "a bad value is refused with status 2" exits 2 "$daemon" -D -N --entry-nb=many
tap_ok "an argument is refused with status 2" exits 2 "$daemon" -D -N argument
tap_ok "so is --print without a trace" exits 2 "$daemon" -D -N --print
tap_ok "so are two questions at a time" exits 2 "$daemon" --status --domains
# config NAME LINE...: a file of settings.
config() {
    local file=$work/$1
    shift
    printf '%s\n' "$@" >"$file"
}
# wrong_line TEXT FILE: it is refused, and the file, the line and the reason are said.
wrong_line() {
    local got status
    got=$("$daemon" -D -N --config "$2" </dev/null 2>&1)
    status=$?
    [ "$status.$got" = "2.xids-xenstored: $2:$1" ] || { echo "status $status: $got"; return 1; }
}
config good '# limits' '[xenstored]' 'no-domain-init = yes' 'no-fork = no' "pid-file = $work/nowhere/pid" 'entry-nb = 7'
long=$(head -c 300 /dev/zero | tr '\0' x)
config comment "# $long" '[xenstored]' "  ; $long = 1" 'no-domain-init = yes' 'entry-nb = many'
config long '[xenstored]' 'entry-nb = 7' "pid-file = /$long"
config unknown '[xenstored]' '' 'entry-number = 7'
config value '[xenstored]' 'quota = nodes=some'
config flag '[xenstored]' 'no-fork = perhaps'
config section '[randomd]' 'log-level = debug'
config loose 'log-level = debug'
config garbage '[xenstored]' 'log-level = debug' 'no sense'
# shellcheck disable=SC2317 # called through tap_ok
configured() {
    "$daemon" --config "$work/good" -F "$work/pid" </dev/null >"$work/log" 2>&1 && stop
}
tap_ok "a file of settings counts, and the command line above it" configured
tap_ok "a setting that there is not is refused with its line" wrong_line "3: entry-number: no such setting" "$work/unknown"
tap_ok "so is a bad value" wrong_line "2: quota: not a value for it" "$work/value"
tap_ok "so is a flag that is neither yes nor no" wrong_line "2: no-fork: neither yes nor no" "$work/flag"
tap_ok "so is a section of another daemon" wrong_line "2: randomd: no such section, only [xenstored]" "$work/section"
tap_ok "so is a setting in no section" wrong_line "1: log-level: a setting must be below [xenstored]" "$work/loose"
tap_ok "so is a line without sense" wrong_line "3: neither a section nor a setting" "$work/garbage"
tap_ok "a comment may be long" wrong_line "5: entry-nb: not a value for it" "$work/comment"
tap_ok "a setting that is too long is refused, not cut" wrong_line "3: a setting: the line is too long" "$work/long"
tap_ok "a file of settings that is named must be there" wrong_line " No such file or directory" "$work/none"
tap_ok "without a hypervisor it says so, unless -D" fails "$daemon" -N
tap_done
