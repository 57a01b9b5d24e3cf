#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: debian-xen.sh
#
# Downloads Debian's unmodified Xen programs (xenstored, oxenstored, xenconsoled, vchan-socket-proxy, test-xenstore,
# xenstore-*) and unpacks them, not installed, so that nothing of this machine changes. Prints the folder they lie in,
# from which on paths are Debian's own (usr/lib/xen-4.17/bin/..., usr/bin/...). The libraries they need come with
# libxen-dev, which the build needs anyway. Needs no root, but apt's package lists.
#
# The folder is $XIDS_CACHE/debian-xen; XIDS_CACHE is cache/ in the build directory unless it is set.
set -eu
cache=${XIDS_CACHE:-${XIDS_BUILDDIR:-$PWD}/cache}
mkdir -p "$cache"
cd "$cache"
exec 9>.debian-xen.lock
flock 9
if [ ! -e debian-xen/.complete ]; then
    rm -rf debian-xen debian-xen.new
    mkdir -p debian-xen.new/debs
    (
        cd debian-xen.new/debs
        # The sandbox user of a root's apt cannot write here; without it apt warns for every file.
        apt-get download -qq -o APT::Sandbox::User="$(id -un)" xen-utils-4.17 xenstore-utils
        for deb in ./*.deb; do
            dpkg -x "$deb" ..
        done
    ) >&2 </dev/null
    rm -rf debian-xen.new/debs
    touch debian-xen.new/.complete
    mv debian-xen.new debian-xen
fi
echo "$PWD/debian-xen"
