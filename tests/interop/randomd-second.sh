#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Two xids-randomd on a simulated machine, domain 0's and that of an entropy domain: guests find both and combine them,
# and neither depends on the other.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian

randomd=$XIDS_BUILDDIR/xids-randomd
demo=$XIDS_BUILDDIR/xids-entropy-demo

# start DOMID: the daemon of that domain.
start() {
    "$sim" exec --domain "$1" -- "$randomd" --foreground --log-level debug --config "$sim_work/config.$1" \
        --control "$sim_work/control.$1" >>"$sim_work/randomd.$1.log" 2>&1 </dev/null &
    echo $! >"$sim_work/randomd.$1.pid"
    disown $!
    eventually answers "$1" || { cat "$sim_work/randomd.$1.log"; return 1; }
}

answers() {
    in_domain "$1" "$randomd" --control "$sim_work/control.$1" --status
}

end() {
    local pid
    pid=$(cat "$sim_work/randomd.$1.pid")
    kill "-$2" "$pid" && eventually gone "$pid"
}

exists() {
    in_domain 0 "$tools/xenstore-exists" "$1"
}

gone_from_store() {
    ! exists "$1"
}

# combined: guest 2 is content when both have given.
combined() {
    in_domain 2 "$demo" --pull 65536 --timeout 30 --servers 2 >"$sim_work/out" || { cat "$sim_work/out"; return 1; }
    cat "$sim_work/out"
    grep -qE '^domain 2: seed fingerprint [0-9a-f]{16} grade HOST, ' "$sim_work/out" &&
        grep -qE '^server 0: domain 0, epoch [0-9a-f]{16}$' "$sim_work/out" &&
        grep -qE '^server 1: domain 1, epoch [0-9a-f]{16}$' "$sim_work/out" &&
        ! grep -q 'epoch 0000000000000000' "$sim_work/out" &&
        sed -n 's/.*fingerprint \([0-9a-f]*\) .*/\1/p' "$sim_work/out" >>"$sim_work/fingerprints"
}

alone() {
    in_domain 2 "$demo" --pull 4096 --timeout 30
}

# A guest that needs both does not say HOST with one of them: it says that time is over.
not_combined() {
    in_domain 2 "$demo" --pull 0 --timeout 2 --servers 2 >"$sim_work/out" 2>&1
    [ $? -eq 1 ] && ! grep -q 'grade HOST' "$sim_work/out"
}

all_different() {
    [ "$(sort -u "$sim_work/fingerprints" | wc -l)" -eq "$1" ] && [ "$(wc -l <"$sim_work/fingerprints")" -eq "$1" ]
}

# The second pointer is as safe as the first: of the place in the entropy domain's own folder, and not the guest's to write.
pointer_is_safe() {
    prints /local/domain/1/backend/randomd/2/1 in_domain 2 "$tools/xenstore-read" device/randomd/1/backend &&
        prints 1 in_domain 2 "$tools/xenstore-read" device/randomd/1/backend-id &&
        fails in_domain 2 "$tools/xenstore-write" /local/domain/2/device/randomd/1/backend /evil &&
        fails in_domain 1 "$tools/xenstore-write" /local/domain/2/device/randomd/1/backend /evil &&
        fails in_domain 3 "$tools/xenstore-read" /local/domain/1/backend/randomd/2/1/ring-ref
}

second_cases() {
    local kind=$1 before
    sim_begin
    need_store "$kind"
    printf '[randomd]\nentropy-domain = 1\n' >"$sim_work/config.0"
    printf '[randomd]\ndiscover = backend\n' >"$sim_work/config.1"
    for i in entropy guest other; do
        "$sim" domain create --name "$i" >/dev/null
    done
    before=$(usage)
    tap_ok "$kind: domain 0's daemon starts" start 0
    tap_ok "$kind: a guest is seeded by it alone" alone
    tap_ok "$kind: but not content when it wants both" not_combined
    tap_ok "$kind: the entropy domain's daemon starts" start 1
    tap_ok "$kind: the guest is offered its channel" eventually exists /local/domain/1/backend/randomd/2/1/event-channel
    tap_ok "$kind: both seeds are combined" combined
    tap_ok "$kind: and again" combined
    tap_ok "$kind: nobody else has a say in the second pointer" pointer_is_safe
    tap_ok "$kind: the second daemon dies" end 1 KILL
    tap_ok "$kind: the first goes on" alone
    tap_ok "$kind: the second comes back" start 1
    tap_ok "$kind: both seeds are combined" combined
    tap_ok "$kind: the first dies" end 0 KILL
    tap_ok "$kind: and comes back" start 0
    tap_ok "$kind: both seeds are combined" combined
    tap_ok "$kind: no two seeds are alike" all_different 4
    tap_ok "$kind: the second stops" end 1 TERM
    tap_ok "$kind: the first stops" end 0 TERM
    tap_ok "$kind: no pointer is left" eventually gone_from_store /local/domain/2/device/randomd
    tap_ok "$kind: no grant, port or page is left" eventually same_usage "$before"
    sim_end
}

for kind in xenstored oxenstored xids-xenstored; do
    second_cases "$kind"
done
tap_done
