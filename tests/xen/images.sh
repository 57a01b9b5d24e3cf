#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# usage: images.sh
#
# Makes what the laboratory boots out of Debian's packages, which are downloaded and unpacked but not installed, and
# prints the folder it lies in: $XIDS_CACHE/xen-lab-KEY, where KEY stands for the packages' versions and this script's
# contents. In it:
#
#   xen.elf         the hypervisor
#   vmlinux         Linux, for dom0 and guests: no compression, which an emulated processor would have to undo
#   dom0.cpio       dom0's root: busybox, bash, xl and its libraries, a few kernel modules
#   guest.cpio      a Linux guest's root
#
# Needs no root, but apt's package lists, and xz, cpio, depmod, modprobe, strip and readelf.
set -eu
# depmod is root's to find, but not to use.
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XIDS_CACHE:-${XIDS_BUILDDIR:-$PWD}/cache}

kernel_package() {
    LC_ALL=C apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" {print $2; exit}'
}

packages=(xen-hypervisor-4.17-amd64 "$(kernel_package)"
    xen-utils-4.17 xen-utils-common xenstore-utils libxenmisc4.17 libxencall1 libxendevicemodel1 libxenevtchn1
    libxenforeignmemory1 libxengnttab1 libxenhypfs1 libxenstore4 libxentoolcore1 libxentoollog1
    libyajl2 libuuid1 libbz2-1.0 liblzma5 liblzo2-2 libzstd1 zlib1g
    libuv1 libsodium23 libjson-c5 libinih1 libseccomp2 libcap-ng0
    busybox-static bash libtinfo6 libc6 libgcc-s1 mount util-linux libsmartcols1)

# shellcheck disable=SC2034 # root() has them by their names
{
    # What goes into a root, by path. A program brings the libraries it names.
    xen=usr/lib/xen-4.17
    dom0_files=("$xen"/bin/{xl,xenstored,oxenstored,xenstore-control,xenconsole,xenconsoled,xen-init-dom0,lsevtchn}
        "$xen"/bin/{libxl-save-helper,vchan-socket-proxy,test-xenstore,xenctx,init-xenstore-domain,xen-diag}
        bin/bash bin/busybox sbin/losetup usr/bin/flock
        usr/bin/xenstore{,-chmod,-exists,-list,-ls,-read,-rm,-watch,-write}
        etc/xen/scripts etc/xen/xl.conf etc/xen/oxenstored.conf)
    guest_files=("$xen"/bin/{vchan-socket-proxy,test-xenstore} bin/bash bin/busybox
        usr/bin/xenstore{,-chmod,-exists,-list,-ls,-read,-rm,-watch,-write})
    # Libraries that our programs need, and libgcc_s, which threads that are cancelled open by name.
    dom0_libraries=(libuv.so.1 libsodium.so.23 libjson-c.so.5 libinih.so.1 libseccomp.so.2 libcap-ng.so.0
        libxencall.so.1 libxenevtchn.so.1 libxengnttab.so.1 libxenforeignmemory.so.1 libxenctrl.so.4.17 libxenvchan.so.4.17 libgcc_s.so.1)
    guest_libraries=("${dom0_libraries[@]}")
    dom0_modules=(virtio_pci virtio_console 9pnet_virtio 9p xenfs xen-evtchn xen-gntdev xen-gntalloc xen-privcmd
        xen-blkback loop xen-netback bridge tun)
    guest_modules=(xenfs xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xen-blkfront xen-netfront)
}

# ---- the key ----

versions() {
    # Unpacked by version: a package that apt does not know leaves its line out and fails here, not later.
    LC_ALL=C apt-cache policy "${packages[@]}" | awk '/^[^ ]/ {name = $1} $1 == "Candidate:" {print name, $2; n++}
        END {exit n != '"${#packages[@]}"'}'
}
mkdir -p "$cache"
key=$({ versions || exit 1; cat "${BASH_SOURCE[0]}" "$here"/dom0/* "$here"/guest/*; } | sha256sum | cut -c1-16)
cd "$cache"
images=$PWD/xen-lab-$key
exec 9>.xen-lab.lock
flock 9
if [ -d "$images" ]; then
    echo "$images"
    exit
fi

# ---- unpacking ----

work=$PWD/xen-lab.new
rm -rf "$work"
mkdir -p "$work/debs" "$work/out"
exec 3>&1 >&2 </dev/null
cd "$work/debs"
# The sandbox user of a root's apt cannot write here; without it apt warns for every file.
apt-get download -qq -o APT::Sandbox::User="$(id -un)" "${packages[@]}"
cd "$work"
all=$work/all
for deb in debs/*.deb; do
    dpkg -x "$deb" "$all"
done
zcat "$all"/boot/xen-4.17-amd64.gz >out/xen.elf
release=$(cd "$all/lib/modules" && echo *)
depmod -b "$all" "$release"

# The kernel's boot protocol: sectors of setup code at 0x1f1, offset and length of what is compressed at 0x248.
field() {
    od -An -t "u$2" -j "$1" -N "$2" "$all/boot/vmlinuz-$release" | tr -d ' '
}
start=$((($(field $((0x1f1)) 1) + 1) * 512 + $(field $((0x248)) 4)))
length=$(field $((0x24c)) 4)
# Its last four bytes are the unpacked size, which xz does not know.
tail -c +$((start + 1)) "$all/boot/vmlinuz-$release" | head -c $((length - 4)) | xz -dc >vmlinux.all
strip -s -o out/vmlinux vmlinux.all

# ---- roots ----

# copy FILE...: from the unpacked packages into $root, where /bin, /sbin and /lib are those of /usr.
copy() {
    local file to
    for file in "$@"; do
        to=$root/$file
        [[ $file == usr/* || $file == etc/* ]] || to=$root/usr/$file
        mkdir -p "${to%/*}"
        cp -a "$all/$file" "$to"
    done
}

# library NAME: and those that it needs.
library() {
    local from to=$root/usr/lib/x86_64-linux-gnu/$1 part
    [ ! -e "$to" ] || return 0
    for part in lib/x86_64-linux-gnu usr/lib/x86_64-linux-gnu; do
        from=$all/$part/$1
        [ ! -e "$from" ] || break
    done
    [ -e "$from" ] || { echo "images: no package here has $1"; exit 1; }
    mkdir -p "${to%/*}"
    cp -L "$from" "$to"
    needed "$to"
}

# needed FILE...: the libraries that they name.
needed() {
    local name
    while read -r name; do
        [ "$name" = ld-linux-x86-64.so.2 ] || library "$name"
    done < <(readelf -d "$@" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u)
}

modules() {
    local file name
    for name in "$@"; do
        modprobe -d "$all" -S "$release" --show-depends "$name"
    done | awk '$1 == "insmod" {print $2}' | sort -u | while read -r file; do
        file=$(realpath -m --relative-to="$all" "$file")
        mkdir -p "$root/usr/${file%/*}"
        cp "$all/$file" "$root/usr/$file"
    done
    cp "$all/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "$root/usr/lib/modules/$release/"
    depmod -b "$root" "$release"
}

# root NAME: makes $root out of the lists NAME_files, NAME_libraries and NAME_modules and the scripts in NAME/.
root() {
    local applet dir
    local -n files=$1_files libraries=$1_libraries wanted=$1_modules
    root=$work/$1
    mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{proc,sys,dev,run,tmp,lab,images,etc,root,var/lib,var/log}
    for dir in bin sbin lib lib64; do
        ln -s "usr/$dir" "$root/$dir"
    done
    ln -s ../run "$root/var/run"
    copy "${files[@]}"
    cp -L "$all/lib64/ld-linux-x86-64.so.2" "$root/usr/lib64/"
    find "$root" -type f -print0 >files
    while IFS= read -r -d '' file; do
        needed "$file"
    done <files
    for file in "${libraries[@]}"; do
        library "$file"
    done
    modules "${wanted[@]}"
    for applet in $("$root/usr/bin/busybox" --list); do
        [ -e "$root/usr/bin/$applet" ] || [ -e "$root/usr/sbin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
    done
    for file in "$root/$xen"/bin/*; do
        [ -e "$root/usr/sbin/${file##*/}" ] || ln -s "../lib/xen-4.17/bin/${file##*/}" "$root/usr/sbin/${file##*/}"
    done
    printf 'root:x:0:0:root:/root:/bin/bash\n' >"$root/etc/passwd"
    printf 'root:x:0:\n' >"$root/etc/group"
    cp "$here/$1"/* "$root/"
    chmod 755 "$root/init"
    (cd "$root" && find . -print0 | LC_ALL=C sort -z | cpio -0 -o -H newc -R 0:0 --quiet) >"out/$1.cpio"
}
root dom0
root guest

mv out "$images"
cd "$cache"
rm -rf "$work"
# One set is used at a time; an older one that a laboratory runs from may go after a day.
find . -maxdepth 1 -name 'xen-lab-*' ! -name "xen-lab-$key" -mtime +1 -exec rm -rf {} +
echo "$images" >&3
