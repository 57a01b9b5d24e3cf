#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# Debian's unmodified xenconsoled serves the consoles of simulated domains.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian
[ -c /dev/pts/ptmx ] || sim_skip_all "no terminals can be made here (devpts is not mounted)"
sim_begin
need_store xenstored

consoles=$sim_work/consoles
console_log() {
    echo "$consoles/guest-$1.log"
}

# say N TEXT: what a program of domain N writes to its console.
say() {
    # shellcheck disable=SC2016 # expanded in the domain
    printf '%s' "$2" | timeout 20 "$sim" exec --domain "$1" -- \
        perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Peer => $ENV{XIDS_SIM_CONSOLE}) or die "$!";
            $s->syswrite($_) while sysread(STDIN, $_, 4096)'
}

tty_of() {
    in_domain 0 "$tools/xenstore-read" "/local/domain/$1/console/tty"
}

has_tty() {
    local tty
    tty=$(tty_of "$1") && [ -c "$tty" ]
}

# hear N: what comes to the console of domain N from its terminal in domain 0.
hear() {
    # shellcheck disable=SC2016
    timeout 20 "$sim" exec --domain "$1" -- perl -MIO::Socket::UNIX -e '
        my $s = IO::Socket::UNIX->new(Peer => $ENV{XIDS_SIM_CONSOLE}) or die "$!";
        my $all = ""; while ($all !~ /\n/) { sysread($s, my $part, 100) or die; $all .= $part } print $all'
}

typed_arrives() {
    hear "$1" >"$sim_work/heard" &
    local hearer=$!
    eventually counter_is xenbus_clients 1
    printf '%s\n' "$2" >"$(tty_of "$1")"
    wait "$hearer" || return 1
    tr -d '\r' <"$sim_work/heard" | grep -qx "$2" || { od -c "$sim_work/heard"; return 1; }
}

in_order() {
    tr -d '\r' <"$1" | head -n 3000 | diff - <(seq 1 3000) | head -n 5 | { ! grep .; }
}

mkdir "$consoles"
"$sim" domain create --domid 1 --name one >/dev/null
tap_ok "xenconsoled starts as a program of domain 0" in_domain 0 "$xen_bin/xenconsoled" --pid-file="$sim_work/xenconsoled.pid" \
    --log=guest --log-dir="$consoles"
tap_ok "a domain that was there gets a terminal" eventually has_tty 1
"$sim" domain create --domid 2 --name two >/dev/null
tap_ok "a domain that is made later gets one" eventually has_tty 2
say 1 "hello from one
"
tap_ok "what a guest writes is logged" eventually contains "$(console_log one)" "hello from one"
say 2 "$(seq 1 3000)
last line
"
tap_ok "more than the ring holds is logged whole" eventually contains "$(console_log two)" "last line"
tap_ok "and in order" in_order "$(console_log two)"
tap_ok "a guest's console is not another's" fails contains "$(console_log one)" "last line"
tap_ok "what is typed at the terminal arrives in the guest" typed_arrives 1 "typed here"
"$sim" domain destroy 1
tap_ok "xenconsoled lets go of a dead domain" eventually counter_is maps 2
"$sim" domain create --domid 1 --name again >/dev/null
tap_ok "and serves one with the same domid" eventually has_tty 1
tap_done
