#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: tests/fresh-debian.sh [QUICKSTART'S ARGUMENTS]
#
# Proves that quickstart works where nothing is installed: makes a Debian 12 with debootstrap (minbase, with git and
# ca-certificates added and nothing else), clones this repository's HEAD into it and runs ./quickstart there, whose last
# line must be that of the demo (or, with arguments, whose exit status must be 0).
#
# Needs root, debootstrap and some minutes: it is not part of make check. The new system uses this machine's apt
# sources, settings and proxies. Everything lies in one temporary folder below TMPDIR, in a mount and process namespace of
# its own; both are gone afterwards, however it ends.
set -eu
src=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
suite=bookworm

if [ "${1:-}" != --inside ]; then
    [ "$(id -u)" -eq 0 ] || { echo "fresh-debian: needs root (chroot, mounts)" >&2; exit 77; }
    command -v debootstrap >/dev/null || { echo "fresh-debian: debootstrap is not installed" >&2; exit 77; }
    root=$(mktemp -d "${TMPDIR:-/tmp}/xids-fresh.XXXXXX")
    trap 'rm -rf --one-file-system "$root"' EXIT
    trap 'kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; exit 1' HUP INT TERM
    # When this process namespace's first process ends, all in it end, and with them the mount namespace.
    unshare --mount --pid --fork --kill-child --propagation private "$0" --inside "$root" "$@" </dev/null &
    pid=$!
    status=0
    wait "$pid" || status=$?
    exit "$status"
fi
root=$2
shift 2

# shellcheck disable=SC2016 # apt-get expands it
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
    awk -v suite="$suite" '$2 == suite {print $1; exit}')
[ -n "$mirror" ] || { echo "fresh-debian: apt has no source for $suite" >&2; exit 1; }
# debootstrap fetches with wget, which reads proxies from the environment and not from apt's settings.
proxy=$(apt-config dump --format '%v' Acquire::http::Proxy)
[ -z "$proxy" ] || export http_proxy="$proxy"

echo "debootstrap of $suite"
debootstrap --variant=minbase --include=git,ca-certificates "$suite" "$root" "$mirror" >"$root.log" 2>&1 ||
    { tail -n 20 "$root.log"; rm -f "$root.log"; exit 1; }
rm -f "$root.log"
rm -rf "$root/etc/apt/sources.list" "$root/etc/apt/sources.list.d"
for part in sources.list sources.list.d apt.conf apt.conf.d auth.conf auth.conf.d trusted.gpg.d keyrings; do
    [ ! -e "/etc/apt/$part" ] || cp -a "/etc/apt/$part" "$root/etc/apt/"
done
[ ! -d /usr/share/keyrings ] || cp -an /usr/share/keyrings/. "$root/usr/share/keyrings/"
# Hooks of this machine's own packages have nothing to hook to there.
grep -lE '^ *(DPkg|APT::Update)::(Pre|Post)-Invoke' -r "$root/etc/apt/apt.conf.d" | xargs -r rm -f
for file in /etc/resolv.conf /etc/hosts; do
    [ ! -e "$file" ] || cat "$file" >"$root$file"
done
mount -t proc proc "$root/proc"
mkdir -p "$root/dev/shm"
mount -t tmpfs tmpfs "$root/dev/shm"
mkdir -p "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -sf pts/ptmx "$root/dev/ptmx"
git clone -q --no-hardlinks "$src" "$root/root/xids"

echo "quickstart $*"
in_there() {
    chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        TERM=dumb ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        sh -c 'cd /root/xids && exec ./quickstart "$@"' sh "$@"
}
status=0
in_there "$@" </dev/null 2>&1 | tee "$root/root/out" || status=1
[ "${PIPESTATUS[0]}" -eq 0 ] || status=1
left=$(find "$root/tmp" "$root/run" "$root/dev/shm" -iname '*xids*' -print)
[ -z "$left" ] || { printf 'fresh-debian: left behind:\n%s\n' "$left"; status=1; }
if [ $# -eq 0 ] && [ "$(tail -n 1 "$root/root/out")" != "demo: 3 guests seeded over vchan" ]; then
    echo "fresh-debian: the demo did not end as it must"
    status=1
fi
[ "$status" -ne 0 ] || echo "fresh-debian: passed"
exit "$status"
