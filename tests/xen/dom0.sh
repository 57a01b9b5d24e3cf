# SPDX-License-Identifier: ISC
# shellcheck shell=bash
# dom0's part of the laboratory, run by its init as soon as /lab is there: starts Xen's daemons, then serves tests/xen/lab
# (or is an interactive shell).
cd /root || exit 1
# How long it took to come here, against a machine that has nothing else to do (about 3 s): what time limits are
# multiplied by, for a busy machine is not a hang.
read -r uptime _ </proc/uptime
echo $((${uptime%.*} / 3 + 1)) >/lab/slower
mkdir -p /lab/log
# Where xl console, and so xl create -c, has its lock files.
[ -e /var/lock ] || ln -s ../run/lock /var/lock
# shellcheck source=SCRIPTDIR/lib.sh
. /lab/tests/lib.sh
# shellcheck source=/dev/null
. /lab/settings
programs_update

if [ "$XENSTORED" != none ]; then
    xenstored_start "$XENSTORED" && xen-init-dom0 && xenconsoled_start || echo "dom0: Xen's daemons did not start"
fi

power_off() {
    sync
    echo o >/proc/sysrq-trigger
    sleep 60
}

if [ "$MODE" = shell ]; then
    echo "dom0: ready. /lab is the laboratory's folder; lib.sh is loaded. exit ends the machine."
    /bin/bash --rcfile /lab/tests/lib.sh -i
    power_off
fi

# agent: commands come as lines over a virtio port, each names a folder below /lab/exec with a command in it.
run_job() {
    local job=/lab/exec/$1
    # shellcheck disable=SC2016 # the new shell expands it
    setsid /bin/bash -c '. /lab/tests/lib.sh; programs_update; cd /root; . "$0"/command' "$job" \
        </dev/null >"$job/out" 2>&1 &
    echo $! >"/run/job-$1"
    wait $!
    echo $? >"$job/status.new"
    mv "$job/status.new" "$job/status"
    rm -f "/run/job-$1"
}

port=
for name in /sys/class/virtio-ports/*/name; do
    [ "$(cat "$name")" != bell ] || port=/dev/$(basename "${name%/name}")
done
echo $$ >/run/agent.pid
exec 7<>"$port" || { echo "dom0: no port"; power_off; }
echo up >/lab/ready.new
mv /lab/ready.new /lab/ready
while read -r verb job <&7; do
    case $verb in
    run) run_job "$job" & ;;
    kill) [ ! -e "/run/job-$job" ] || kill -KILL -- "-$(cat "/run/job-$job")" ;;
    esac
done
power_off
