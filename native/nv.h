/* What every file of the shim shares. The shim is the only C that runs in a NovaNet process:
 * thin calls into the kernel and libbpf, each of which returns a value >= 0 or -errno, keeps no
 * state between calls (the libbpf message buffer excepted) and takes ownership of nothing. */
#ifndef NV_H
#define NV_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

/* Only what is marked so is visible in libnovanet.so. */
#define NV_API __attribute__((visibility("default")))

/* The result of a system call in the shim's convention. */
static inline int64_t nv_result(int64_t value)
{
	return value < 0 ? -errno : value;
}

#endif
