#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: debian-packages.sh FOLDER PACKAGE...
#
# Downloads Debian's packages and unpacks them, not installed, so that nothing of this machine changes. Prints the folder
# they lie in, $XIDS_CACHE/FOLDER, from which on paths are Debian's own (usr/bin/...). XIDS_CACHE is cache/ in the build
# directory unless it is set. Needs no root, but apt's package lists. What is there already is not fetched again.
set -eu
folder=$1
shift
cache=${XIDS_CACHE:-${XIDS_BUILDDIR:-$PWD}/cache}
mkdir -p "$cache"
cd "$cache"
exec 9>".$folder.lock"
flock 9
if [ ! -e "$folder/.complete" ]; then
    rm -rf "$folder" "$folder.new"
    mkdir -p "$folder.new/debs"
    (
        cd "$folder.new/debs"
        # The sandbox user of a root's apt cannot write here; without it apt warns for every file.
        apt-get download -qq -o APT::Sandbox::User="$(id -un)" "$@"
        for deb in ./*.deb; do
            dpkg -x "$deb" ..
        done
    ) >&2 </dev/null
    rm -rf "$folder.new/debs"
    touch "$folder.new/.complete"
    mv "$folder.new" "$folder"
fi
echo "$PWD/$folder"
