#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: arm64-sysroot.sh
#
# Downloads what a build of xids for arm64 links with (the C library, Xen's and the other libraries, for arm64, and all
# that they need), and unpacks it, not installed. Prints the folder, a root for --sysroot, pkg-config and qemu -L.
#
# apt gets lists, a cache and a state of its own for that, so that nothing of this machine changes: arm64 does not
# become an architecture of its dpkg. The sources are the machine's. Needs no root.
#
# The folder is $XIDS_CACHE/arm64; XIDS_CACHE is cache/ in the build directory unless it is set.
set -eu
packages=(libc6-dev libxen-dev libuv1-dev libsodium-dev libjson-c-dev libinih-dev libseccomp-dev libcap-ng-dev
    uthash-dev check)
cache=${XIDS_CACHE:-${XIDS_BUILDDIR:-$PWD}/cache}
mkdir -p "$cache"
cd "$cache"
cache=$PWD
exec 9>.arm64.lock
flock 9

fetch() {
    local apt=$cache/arm64.new/apt
    mkdir -p "$apt/lists/partial" "$apt/archives/partial"
    touch "$apt/status"
    # What other packages of this machine want done after an update is not for these lists.
    cat >"$apt/conf" <<EOF
APT::Architecture "arm64";
#clear APT::Architectures;
APT::Architectures { "arm64"; };
APT::Sandbox::User "$(id -un)";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear Acquire::IndexTargets::deb::DEP-11;
Acquire::Languages { "none"; };
Dir::State "$apt";
Dir::State::lists "lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Cache::archives "archives";
Debug::NoLocking "true";
EOF
    # A source that has nothing for arm64 may fail; whether the others have all, the next step shows.
    apt-get -c "$apt/conf" update -qq || true
    apt-get -c "$apt/conf" install -qq -y --download-only --no-install-recommends "${packages[@]}"
    for deb in "$apt"/archives/*.deb; do
        dpkg -x "$deb" arm64.new
    done
    rm -rf "$apt"
}

if [ "$(cat arm64/.complete 2>/dev/null)" != "${packages[*]}" ]; then
    rm -rf arm64 arm64.new
    fetch >&2 </dev/null
    echo "${packages[*]}" >arm64.new/.complete
    mv arm64.new arm64
fi
echo "$cache/arm64"
