#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: debian-xen.sh
#
# Downloads Debian's unmodified Xen programs (xenstored, oxenstored, xenconsoled, vchan-socket-proxy, test-xenstore,
# xenstore-*) as debian-packages.sh does. Prints the folder they lie in, from which on paths are Debian's own
# (usr/lib/xen-4.17/bin/..., usr/bin/...). The libraries they need come with libxen-dev, which the build needs anyway.
set -eu
exec "$(dirname "$0")/debian-packages.sh" debian-xen xen-utils-4.17 xenstore-utils
