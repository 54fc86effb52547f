/* libbpf's messages, the verifier's log among them, kept until they are asked for. */
#define _GNU_SOURCE
#include "nv.h"

#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A verifier log can be many MiB, and what matters stands at its end: the older half goes. */
#define LOG_LIMIT (1u << 20)

static _Thread_local char *text;
static _Thread_local size_t used;
static int verbose;

static void append(const char *piece, size_t size)
{
	if (!text && !(text = malloc(LOG_LIMIT)))
		return;
	if (size > LOG_LIMIT / 2) {
		piece += size - LOG_LIMIT / 2;
		size = LOG_LIMIT / 2;
	}
	if (used + size > LOG_LIMIT) {
		memmove(text, text + used - LOG_LIMIT / 2, LOG_LIMIT / 2);
		used = LOG_LIMIT / 2;
	}
	memcpy(text + used, piece, size);
	used += size;
}

static int collect(enum libbpf_print_level level, const char *format, va_list args)
{
	int saved = errno;
	char *piece = NULL;
	int size;

	if (level == LIBBPF_WARN || verbose) {
		size = vasprintf(&piece, format, args);
		if (size > 0)
			append(piece, (size_t)size);
		if (size >= 0)
			free(piece);
	}
	errno = saved;
	return 0;
}

__attribute__((constructor)) static void install(void)
{
	libbpf_set_print(collect);
}

/* Also keep libbpf's informational and debug messages (process-wide). */
NV_API void nv_log_verbose(int32_t on)
{
	verbose = on;
}

/* Bytes that nv_log_take() would give to this thread. */
NV_API int32_t nv_log_size(void)
{
	return (int32_t)used;
}

/* Moves this thread's messages, at most size bytes, into buffer and forgets the rest. */
NV_API int32_t nv_log_take(char *buffer, uint32_t size)
{
	size_t taken = used < size ? used : size;

	if (taken)
		memcpy(buffer, text, taken);
	free(text);
	text = NULL;
	used = 0;
	return (int32_t)taken;
}
