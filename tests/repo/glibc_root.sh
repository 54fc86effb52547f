#!/bin/sh
# glibc_root.sh ROOT EXECUTABLE ARGUMENT...
# Runs an executable in mount and network namespaces of its own whose root holds glibc, the executable, /proc, /sys,
# /dev/null and /dev/urandom, and can't be written to but for /run and /var/lib. The process that this shell was
# becomes the executable. To be started by: unshare --mount --net --propagation private
set -eu
root=$1
executable=$2
shift 2

mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir -p bin dev proc sys run var/lib
# The program interpreter and the libraries, as the dynamic linker of this machine finds them.
for library in $(ldd "$executable" | grep -o '/[^ ]*'); do
  case $(basename "$library") in
    ld-linux*.so.* | libc.so.6 | libm.so.6 | libdl.so.2 | libpthread.so.0 | librt.so.1 | libgcc_s.so.1) ;;
    *) echo "needs $library, which is not glibc's" >&2; exit 1 ;;
  esac
  mkdir -p ".$(dirname "$library")"
  cp -L "$library" ".$library"
done
touch bin/novanet dev/null dev/urandom
mount --bind "$executable" bin/novanet
mount --bind /dev/null dev/null
mount --bind /dev/urandom dev/urandom
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t bpf bpf sys/fs/bpf
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs var/lib
mount -o remount,ro,bind bin/novanet
mount -o remount,ro .
ip link set lo up
exec chroot . /bin/novanet "$@"
