/* System calls. Deno can't see errno reliably through its FFI, so each comes back as -errno. */
#define _GNU_SOURCE
#include "nv.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

NV_API int32_t nv_open(const char *path, int32_t flags, uint32_t mode)
{
	return nv_result(open(path, flags | O_CLOEXEC, mode));
}

NV_API int32_t nv_close(int32_t fd)
{
	return nv_result(close(fd));
}

NV_API int32_t nv_dup(int32_t fd)
{
	return nv_result(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

NV_API int32_t nv_read(int32_t fd, void *buffer, uint32_t size)
{
	return nv_result(read(fd, buffer, size));
}

NV_API int32_t nv_write(int32_t fd, const void *data, uint32_t size)
{
	return nv_result(write(fd, data, size));
}

NV_API int32_t nv_socket(int32_t domain, int32_t type, int32_t protocol)
{
	return nv_result(socket(domain, type | SOCK_CLOEXEC, protocol));
}

NV_API int32_t nv_bind(int32_t fd, const void *address, uint32_t size)
{
	return nv_result(bind(fd, address, size));
}

NV_API int32_t nv_connect(int32_t fd, const void *address, uint32_t size)
{
	return nv_result(connect(fd, address, size));
}

/* A null address sends to the connected peer. */
NV_API int32_t nv_sendto(int32_t fd, const void *data, uint32_t size, int32_t flags,
			 const void *address, uint32_t address_size)
{
	return nv_result(sendto(fd, data, size, flags, address, address_size));
}

NV_API int32_t nv_recv(int32_t fd, void *buffer, uint32_t size, int32_t flags)
{
	return nv_result(recv(fd, buffer, size, flags));
}

/* *address_size: room in, bytes out. */
NV_API int32_t nv_recvfrom(int32_t fd, void *buffer, uint32_t size, int32_t flags, void *address,
			   uint32_t *address_size)
{
	return nv_result(recvfrom(fd, buffer, size, flags, address, address_size));
}

NV_API int32_t nv_setsockopt(int32_t fd, int32_t level, int32_t option, const void *value,
			     uint32_t size)
{
	return nv_result(setsockopt(fd, level, option, value, size));
}

/* *size: room in, bytes out. */
NV_API int32_t nv_getsockopt(int32_t fd, int32_t level, int32_t option, void *value, uint32_t *size)
{
	return nv_result(getsockopt(fd, level, option, value, size));
}

NV_API int32_t nv_getsockname(int32_t fd, void *address, uint32_t *size)
{
	return nv_result(getsockname(fd, address, size));
}

NV_API int32_t nv_setns(int32_t fd, int32_t type)
{
	return nv_result(setns(fd, type));
}

NV_API int32_t nv_unshare(int32_t flags)
{
	return nv_result(unshare(flags));
}

NV_API int32_t nv_mount(const char *source, const char *target, const char *type, uint64_t flags,
			const char *data)
{
	return nv_result(mount(source, target, type, flags, data));
}

NV_API int32_t nv_umount(const char *target, int32_t flags)
{
	return nv_result(umount2(target, flags));
}

/* The address goes to *out: an address and an error can't share one result. */
NV_API int32_t nv_mmap(int32_t fd, uint64_t size, int32_t protection, int32_t flags,
		       int64_t offset, uint64_t *out)
{
	void *address = mmap(NULL, size, protection, flags, fd, offset);

	if (address == MAP_FAILED)
		return -errno;
	*out = (uint64_t)(uintptr_t)address;
	return 0;
}

NV_API int32_t nv_munmap(void *address, uint64_t size)
{
	return nv_result(munmap(address, size));
}

NV_API int32_t nv_page_size(void)
{
	return (int32_t)sysconf(_SC_PAGESIZE);
}

/* Waits for events on fd, or for wake_fd (-1: none) to become readable; returns fd's revents, 0
 * after a time-out, a wake-up or a signal. */
NV_API int32_t nv_poll(int32_t fd, int32_t events, int32_t timeout_ms, int32_t wake_fd)
{
	struct pollfd set[2] = {
		{ .fd = fd, .events = (short)events },
		{ .fd = wake_fd, .events = POLLIN },
	};
	int ready = poll(set, 2, timeout_ms);

	if (ready < 0)
		return errno == EINTR ? 0 : -errno;
	return set[0].revents;
}

NV_API int32_t nv_eventfd(void)
{
	return nv_result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/* Returns after a grace period: every CPU has left whatever eBPF program it was in. */
NV_API int32_t nv_membarrier_global(void)
{
	return nv_result(syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
}

NV_API int64_t nv_clock_gettime(int32_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now))
		return -errno;
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

NV_API int32_t nv_if_nametoindex(const char *name)
{
	unsigned int index = if_nametoindex(name);

	return index ? (int32_t)index : -errno;
}

/* name: at least IF_NAMESIZE (16) bytes. */
NV_API int32_t nv_if_indextoname(uint32_t index, char *name)
{
	return if_indextoname(index, name) ? 0 : -errno;
}

/* The effective capability set of this thread as a bit mask. */
NV_API int32_t nv_capget(uint64_t *effective)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(__NR_capget, &header, data))
		return -errno;
	*effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	return 0;
}

/* The file system's magic number, such as BPF_FS_MAGIC. */
NV_API int64_t nv_statfs_magic(const char *path)
{
	struct statfs info;

	if (statfs(path, &info))
		return -errno;
	return (int64_t)(uint32_t)info.f_type;
}

/* Is fd an accepted connection of the unix socket at path, from a user other than allowed? */
static int is_foreign_peer(int fd, const char *path, uid_t allowed)
{
	struct sockaddr_un address = { 0 };
	socklen_t size = sizeof(address) - 1;
	struct ucred peer;
	int listening = 0;

	/* A client's own end is unbound, and a listener has the path too but no peer. */
	if (getsockname(fd, (struct sockaddr *)&address, &size) || address.sun_family != AF_UNIX ||
	    strcmp(address.sun_path, path) != 0)
		return 0;
	size = sizeof(listening);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) || listening)
		return 0;
	size = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return 1;
	return peer.uid != allowed;
}

/* Shuts down every accepted connection of the unix socket bound to path whose peer is not of
 * user allowed; returns how many there were. Deno hides the descriptors of its sockets, so they
 * are found by looking at all of this process. */
NV_API int32_t nv_drop_foreign_peers(const char *path, uint32_t allowed)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int32_t dropped = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || fd == dirfd(dir) ||
		    !is_foreign_peer(fd, path, allowed))
			continue;
		if (shutdown(fd, SHUT_RDWR) && errno != ENOTCONN && errno != ENOTSOCK) {
			int error = errno;

			closedir(dir);
			return -error;
		}
		dropped++;
	}
	closedir(dir);
	return dropped;
}
