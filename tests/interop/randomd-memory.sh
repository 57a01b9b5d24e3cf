#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# All memory of an xids-randomd that has served is searched for what it was seeded with, and for what it gave out: none
# of it is there any more. The kernel's generator is replaced by one whose bytes are known. Speaks TAP.
set -u
# shellcheck source-path=SCRIPTDIR source=../tap.sh
. "$XIDS_SRCDIR/tests/tap.sh"
# shellcheck source-path=SCRIPTDIR source=sim.sh
. "$XIDS_SRCDIR/tests/interop/sim.sh"
sim_need_debian
[ "$(id -u)" -eq 0 ] || sim_skip_all "only root may read the memory of a process that cannot be dumped"
if "$XIDS_BUILDDIR/config.status" --config | grep -q with-sanitizer=; then
    sim_skip_all "a sanitizer keeps copies of its own"
fi

randomd=$XIDS_BUILDDIR/xids-randomd
puller=$XIDS_BUILDDIR/tests/interop/randomd_puller
mark=MARKED01MARKED02

ask() {
    in_domain 0 "$randomd" --control "$sim_work/control" "$@"
}

start_randomd() {
    echo planted >"$sim_work/kernel"
    XIDS_TEST_MARK=$mark FAKE_GETRANDOM=$sim_work/kernel LD_PRELOAD=$XIDS_BUILDDIR/tests/interop/.libs/fake_getrandom.so \
        "$sim" exec -- "$randomd" --foreground --config /dev/null --control "$sim_work/control" >"$sim_work/randomd.log" 2>&1 </dev/null &
    echo $! >"$sim_work/randomd.pid"
    disown $!
    eventually ask --summary || { cat "$sim_work/randomd.log"; return 1; }
}

daemon() {
    cat "$sim_work/randomd.pid"
}

sessions() {
    [ "$(grep -c '^epoch' "$sim_work/pull.$1")" -ge "$2" ] || { cat "$sim_work/pull.$1"; return 1; }
}

pull() {
    "$sim" exec --domain "$1" -- "$puller" "$sim_work/bytes.$1" >"$sim_work/pull.$1" 2>&1 </dev/null &
    echo $! >"$sim_work/puller.$1"
    disown $!
    eventually sessions "$1" 1
}

ends() {
    local pid
    pid=$(cat "$sim_work/puller.$1")
    kill -TERM "$pid" && eventually gone "$pid" && contains "$sim_work/pull.$1" 'end after'
}

# find WHAT [FILE]: how often it is in the daemon's memory. mark: what is in its environment; seeds: two words of the
# planted generator, one after the other; given: some of what the guest whose file it is got.
find() {
    python3 - "$(daemon)" "$mark" "$@" <<'END'
import re, sys
pid, mark, what = sys.argv[1:4]
if what == "mark":
    pattern = re.escape(mark.encode())
elif what == "seeds":
    pattern = rb"PLNT[\s\S]{4}PLNT"
else:
    data = open(sys.argv[4], "rb").read()
    words = [data[i:i + 8] for i in range(0, len(data), 8)]
    words = words[::max(1, len(words) // 40)]
    assert len(words) >= 40
    pattern = None
found, bytes_read = 0, 0
with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
    for line in maps:
        span, rights = line.split()[:2]
        start, end = (int(x, 16) for x in span.split("-"))
        # The daemon's own; what it shares with guests lies in the simulated machine's memory, which is everybody's.
        if not rights.startswith("rw") or rights[3] != "p":
            continue
        mem.seek(start)
        try:
            text = mem.read(end - start)
        except OSError:
            continue
        bytes_read += len(text)
        hits = len(re.findall(pattern, text)) if pattern else sum(text.count(w) for w in words)
        found += hits
        if hits:
            print(line.strip(), hits, file=sys.stderr)
assert bytes_read > 100000
print(found)
END
}

some() {
    local got
    got=$(find "$@" 2>/dev/null)
    [ "$got" -gt 0 ]
}

# Locked, left out of dumps, wiped in a child: the memory for secrets.
flags() {
    awk '/^VmFlags:/ && / lo/ && / dd/ && / wf/ {n++} END {exit n == 0}' "/proc/$(daemon)/smaps"
}

sim_begin
need_store xids-xenstored
for i in 1 2; do
    "$sim" domain create --domid "$i" --name "guest$i" >/dev/null
done
tap_ok "the daemon starts over it" start_randomd
tap_ok "it has memory for secrets" flags
for i in 1 2; do
    tap_ok "guest $i pulls" pull "$i"
done
tap_ok "all are reseeded" ask --reseed
tap_ok "guest 1 begins a new session" eventually sessions 1 2
tap_ok "so does guest 2" eventually sessions 2 2
tap_ok "the search finds what is there" some mark
tap_ok "nothing of what it was seeded with is" prints 0 find seeds
for i in 1 2; do
    tap_ok "guest $i ends" ends "$i"
    tap_ok "nothing of what it got is in the daemon's memory" prints 0 find given "$sim_work/bytes.$i"
done
tap_ok "and still no seed is" prints 0 find seeds
pid=$(daemon)
kill -TERM "$pid"
tap_ok "the daemon ends" eventually gone "$pid"
sim_end
tap_done
