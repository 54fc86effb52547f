/* Work inside another network namespace. The thread enters, does one thing and comes back before
 * the call returns, so no other code can run in the wrong namespace. A thread that can't come back
 * would send a later caller's work into a pod: there the process ends. */
#define _GNU_SOURCE
#include "nv.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Enters the namespace of fd. Returns a descriptor of the one left, for leave(), or -errno. */
static int enter(int netns_fd)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int error;

	if (home < 0)
		return -errno;
	if (setns(netns_fd, CLONE_NEWNET)) {
		error = -errno;
		close(home);
		return error;
	}
	return home;
}

static void leave(int home)
{
	static const char message[] = "novanet: cannot leave a network namespace, aborting\n";

	if (setns(home, CLONE_NEWNET)) {
		(void)!write(STDERR_FILENO, message, sizeof(message) - 1);
		abort();
	}
	close(home);
}

/* A socket that belongs to the namespace of netns_fd. */
NV_API int32_t nv_netns_socket(int32_t netns_fd, int32_t domain, int32_t type, int32_t protocol)
{
	int home = enter(netns_fd);
	int result;

	if (home < 0)
		return home;
	result = nv_result(socket(domain, type | SOCK_CLOEXEC, protocol));
	leave(home);
	return result;
}

static int32_t open_inside(int netns_fd, const char *path, int flags)
{
	int home = enter(netns_fd);
	int32_t result;

	if (home < 0)
		return home;
	result = nv_result(open(path, flags | O_CLOEXEC));
	leave(home);
	return result;
}

/* Writes data in one write() to a file whose meaning depends on the namespace of who opens it, such
 * as one under /proc/sys/net. */
NV_API int32_t nv_netns_write_file(int32_t netns_fd, const char *path, const void *data,
				   uint32_t size)
{
	int32_t fd = open_inside(netns_fd, path, O_WRONLY);
	int32_t result;

	if (fd < 0)
		return fd;
	result = nv_result(write(fd, data, size));
	close(fd);
	return result;
}

/* Reads at most size bytes of such a file in one read(). */
NV_API int32_t nv_netns_read_file(int32_t netns_fd, const char *path, void *buffer, uint32_t size)
{
	int32_t fd = open_inside(netns_fd, path, O_RDONLY);
	int32_t result;

	if (fd < 0)
		return fd;
	result = nv_result(read(fd, buffer, size));
	close(fd);
	return result;
}
