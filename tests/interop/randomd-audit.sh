#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# xids-randomd's audit log: what is in it after guests came and went and the daemon was killed, by our own verifier and
# by another that knows the specification only. Speaks TAP.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

randomd=$XIDS_BUILDDIR/xids-randomd
demo=$XIDS_BUILDDIR/xids-entropy-demo

ask() {
    in_domain 0 "$randomd" --control "$sim_work/control" "$@"
}

start_randomd() {
    "$sim" exec -- "$randomd" --foreground --config "$sim_work/config" --control "$sim_work/control" \
        >>"$sim_work/randomd.log" 2>&1 </dev/null &
    echo $! >"$sim_work/randomd.pid"
    disown $!
    eventually ask --summary || { cat "$sim_work/randomd.log"; return 1; }
}

daemon() {
    cat "$sim_work/randomd.pid"
}

ends() {
    local pid
    pid=$(daemon)
    kill "-$1" "$pid" && eventually gone "$pid"
}

# has PATTERN: a line of the log matches it.
has() {
    grep -Eq -- "$1" "$log" || { cat "$log"; return 1; }
}

verify() {
    "$randomd" --audit-verify "$@" </dev/null
}

broken() {
    local got status=0
    got=$(verify "$@") || status=$?
    echo "status $status: $got"
    [ "$status" -eq 1 ] && [[ $got == *broken* ]]
}

# By the specification alone. Prints the last line's number and hash.
other_verifier() {
    python3 - "$@" <<'END'
import hashlib, re, sys
prev, number = None, 0
for path in sys.argv[1:]:
    for at, line in enumerate(open(path, "rb")):
        assert line.endswith(b"\n") and len(line) <= 512, line
        text, given = line[:-65], line[-65:-1].decode()
        fields = text.decode("ascii").split(" ")
        assert fields[-1] == "" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", fields[1]), fields
        if fields[2] == "begin":
            said = bytes.fromhex([f for f in fields if f.startswith("prev=")][0][5:])
            assert prev is None or prev == said
            prev = said
        else:
            assert at > 0
        assert number == 0 or int(fields[0]) == number + 1, (number, fields)
        number = int(fields[0])
        assert hashlib.blake2s(prev + text).hexdigest() == given, line
        prev = bytes.fromhex(given)
print(number, prev.hex())
END
}

same_end() {
    local ours other
    ours=$(ask --summary | sed -n 's/.*"last":\([0-9]*\),"hash":"\([0-9a-f]*\)".*/\1 \2/p')
    other=$(other_verifier "$log")
    echo "$ours, $other"
    [ -n "$ours" ] && [ "$ours" = "$other" ]
}

seeded() {
    in_domain "$1" "$demo" --pull 65536 --timeout 20
}

# After a crash of the machine, say.
cut_off() {
    truncate -s -20 "$log" && verify "$log" | grep -q 'cut off'
}

changed() {
    sed "s/ offered domid=1 / offered domid=4 /" "$log" >"$sim_work/changed"
    broken "$sim_work/changed"
}

rotated() {
    mv "$log" "$log.old" && kill -HUP "$(daemon)" && eventually test -s "$log" && ask --reseed 1 && other_verifier "$log.old" "$log" &&
        verify "$log.old" "$log"
}

no_secret() {
    # Hashes are the line's own and prev's; nothing else in it is that long.
    ! sed 's/ prev=[0-9a-f]*//; s/ [0-9a-f]*$//' "$log" | grep -E '[0-9a-f]{20,}'
}

sim_begin
need_store xids-xenstored
log=$sim_work/audit
printf '[randomd]\naudit = %s\n' "$log" >"$sim_work/config"
for i in 1 2 3; do
    "$sim" domain create --domid "$i" --name "guest$i" >/dev/null
done
uuid=$(in_domain 0 "$tools/xenstore-read" /local/domain/1/vm)
tap_ok "the daemon starts" start_randomd
tap_ok "a guest is seeded" seeded 1
tap_ok "the log is for its owner alone" prints 600 stat -c %a "$log"
tap_ok "it begins" has '^1 [^ ]* begin format=1 prev=0{64} '
tap_ok "the start is in it" has ' start version=.* domid=0 '
tap_ok "each channel is" eventually has " offered domid=3 vm=[0-9a-f-]{36} channel=1 epoch=[0-9a-f]{16} bytes=48 "
tap_ok "with whose it is" has " offered domid=1 vm=${uuid#/vm/} "
tap_ok "and that the guest came" has " opened domid=1 vm=[0-9a-f-]{36} channel=1 epoch=[0-9a-f]{16} bytes="
tap_ok "and went, with how much it had" eventually has " closed domid=1 .* bytes=[0-9]{5} why=closed "
tap_ok "one guest is reseeded" ask --reseed 2
tap_ok "which is in it" has ' reseeded domid=2 '
tap_ok "one is restored" ask --restored 3
tap_ok "which is in it too" has ' restored domid=3 '
tap_ok "all are reseeded" ask --reseed
tap_ok "and that" has ' reseed guests=3 failed=0 '
tap_ok "the settings are read again" ask --reload
tap_ok "and that too" has ' reload changed=0 '
tap_ok "a guest dies" "$sim" domain destroy 2
tap_ok "it is gone" eventually has ' gone domid=2 '
tap_ok "the log is whole" verify "$log"
tap_ok "to another verifier, too" other_verifier "$log"
tap_ok "the status tells where it ends" same_end
tap_ok "a change is found" changed
tap_ok "there are no secrets in it" no_secret
tap_ok "a second program does not write it" fails in_domain 0 "$randomd" --foreground --config "$sim_work/config" \
    --control "$sim_work/control2"
tap_ok "the daemon is killed" ends KILL
tap_ok "its last line is cut off" cut_off
tap_ok "it starts again" start_randomd
tap_ok "and says that it was mended" has ' mended cut='
tap_ok "the log goes on" other_verifier "$log"
tap_ok "a log that was moved away is followed by another" rotated
tap_ok "the daemon ends" ends TERM
tap_ok "which is in it" has ' stop '
tap_ok "the guests' last lines as well" has ' stopped domid=1 '
tap_ok "and it is whole" verify "$log.old" "$log"
printf '[randomd]\naudit = /proc/none/audit\n' >"$sim_work/config"
tap_ok "without its folder the daemon does not start" fails in_domain 0 "$randomd" --foreground \
    --config "$sim_work/config" --control "$sim_work/control"

# A disk that is full: guests are served all the same.
full_disk() {
    mkdir "$sim_work/disk" && mount -t tmpfs -o size=8k none "$sim_work/disk"
}
failing() {
    ask --summary | grep -q '"audit":{"failing":true' && ask --summary | grep -q '"alarm":true'
}
mended() {
    seeded 1 && ask --summary | grep -q '"audit":{"failing":false'
}
if [ "$(id -u)" -eq 0 ] && full_disk 2>/dev/null; then
    trap 'umount "$sim_work/disk" 2>/dev/null; sim_end' EXIT
    log=$sim_work/disk/audit
    printf '[randomd]\naudit = %s\n' "$log" >"$sim_work/config"
    head -c 4096 /dev/zero >"$sim_work/disk/much"
    tap_ok "a daemon whose disk is nearly full starts" start_randomd
    # More lines than fit.
    until_full() {
        local i
        for ((i = 0; i < 60; i++)); do
            ask --reload >/dev/null || return 1
        done
        failing
    }
    tap_ok "it fills up, which is an alarm" until_full
    tap_ok "guests are served" seeded 1
    rm "$sim_work/disk/much"
    tap_ok "with room again it goes on" eventually mended
    tap_ok "and says what is missing" has ' lost lines=[0-9]+ '
    tap_ok "it is whole" verify "$log"
    tap_ok "the daemon ends there too" ends TERM
    umount "$sim_work/disk"
else
    tap_skip "a full disk" "file systems cannot be mounted"
fi
sim_end
tap_done
