/* Hidden definitions of what the distribution's static libraries would otherwise ask of a newer
 * glibc than 2.31, or can't have inside a shared object at all.
 *
 * No libc header is included here: newer ones redirect strtol() and sscanf() to the very symbols
 * that are defined below. The linker takes these definitions before it looks into an archive or
 * into libc, and --exclude-libs with hidden visibility keeps them inside libnovanet.so. */

#include <stdarg.h>
#include <stddef.h>
#include <asm/stat.h>
#include <asm/unistd.h>

#define HIDDEN __attribute__((visibility("hidden")))
#define AT_FDCWD_ (-100)
#define AT_SYMLINK_NOFOLLOW_ 0x100
#define AT_EMPTY_PATH_ 0x1000

long syscall(long number, ...);

/* stat family: symbols of their own since GLIBC_2.33. The kernel's struct stat is glibc's on every
 * 64-bit architecture. */
HIDDEN int fstat(int fd, struct stat *out)
{
	return (int)syscall(__NR_newfstatat, fd, "", out, AT_EMPTY_PATH_);
}

HIDDEN int stat(const char *path, struct stat *out)
{
	return (int)syscall(__NR_newfstatat, AT_FDCWD_, path, out, 0);
}

HIDDEN int lstat(const char *path, struct stat *out)
{
	return (int)syscall(__NR_newfstatat, AT_FDCWD_, path, out, AT_SYMLINK_NOFOLLOW_);
}

HIDDEN int fstatat(int dir, const char *path, struct stat *out, int flags)
{
	return (int)syscall(__NR_newfstatat, dir, path, out, flags);
}

HIDDEN int fstat64(int fd, struct stat *out)
{
	return fstat(fd, out);
}

HIDDEN int stat64(const char *path, struct stat *out)
{
	return stat(path, out);
}

/* The C23 spellings, GLIBC_2.38. They differ in binary literals only. */
long strtol(const char *text, char **end, int base);
unsigned long strtoul(const char *text, char **end, int base);
long long strtoll(const char *text, char **end, int base);
unsigned long long strtoull(const char *text, char **end, int base);
int vsscanf(const char *text, const char *format, va_list args);
/* By another name: a compiler knows vfscanf() itself, and by the type FILE. */
int plain_vfscanf(void *stream, const char *format, va_list args) __asm__("vfscanf");

HIDDEN long __isoc23_strtol(const char *text, char **end, int base)
{
	return strtol(text, end, base);
}

HIDDEN unsigned long __isoc23_strtoul(const char *text, char **end, int base)
{
	return strtoul(text, end, base);
}

HIDDEN long long __isoc23_strtoll(const char *text, char **end, int base)
{
	return strtoll(text, end, base);
}

HIDDEN unsigned long long __isoc23_strtoull(const char *text, char **end, int base)
{
	return strtoull(text, end, base);
}

HIDDEN int __isoc23_sscanf(const char *text, const char *format, ...)
{
	va_list args;
	int count;

	va_start(args, format);
	count = vsscanf(text, format, args);
	va_end(args);
	return count;
}

HIDDEN int __isoc23_fscanf(void *stream, const char *format, ...)
{
	va_list args;
	int count;

	va_start(args, format);
	count = plain_vfscanf(stream, format, args);
	va_end(args);
	return count;
}

/* Moved from libpthread into libc at GLIBC_2.34. A libelf built for threads locks each handle;
 * here one thread parses at a time, and no handle is shared, so there is nothing to lock. */
HIDDEN int pthread_rwlock_init(void *lock, const void *attributes)
{
	(void)lock, (void)attributes;
	return 0;
}

HIDDEN int pthread_rwlock_destroy(void *lock)
{
	(void)lock;
	return 0;
}

HIDDEN int pthread_rwlock_rdlock(void *lock)
{
	(void)lock;
	return 0;
}

HIDDEN int pthread_rwlock_wrlock(void *lock)
{
	(void)lock;
	return 0;
}

HIDDEN int pthread_rwlock_unlock(void *lock)
{
	(void)lock;
	return 0;
}

HIDDEN int pthread_once(int *control, void (*initialise)(void))
{
	if (*control == 0) {
		*control = 1;
		initialise();
	}
	return 0;
}

/* Since GLIBC_2.32; false means "take the careful path". */
HIDDEN char __libc_single_threaded = 0;

/* Debian builds libelf.a and libbpf.a for executables (-fPIE). Two things in them can't be linked
 * into a shared object: libelf's thread-local error number, in a file that is replaced here whole,
 * and direct references to stderr, which only libbpf's default printer uses; the shim installs its
 * own printer before the first call. */
static _Thread_local int last_elf_error;

HIDDEN void *stderr = 0;

HIDDEN void __libelf_seterrno(int value)
{
	last_elf_error = value;
}

HIDDEN int elf_errno(void)
{
	int value = last_elf_error;

	last_elf_error = 0;
	return value;
}

HIDDEN const char *elf_errmsg(int error)
{
	return error == 0 || (error == -1 && last_elf_error == 0) ? (const char *)0
								  : "malformed ELF file";
}

/* elfutils 0.191 and later keep the chunks that elf_getdata_rawchunk() was asked for in a tree, whose
 * functions are in an archive that distributions don't ship. libbpf asks for no chunks: the tree, whose
 * root is its first member, stays empty. */
HIDDEN void eu_search_tree_init(void **tree)
{
	*tree = 0;
}

HIDDEN void eu_search_tree_fini(void **tree, void (*free_node)(void *))
{
	(void)tree, (void)free_node;
}

/* elfutils 0.189 and later can unpack zstd sections. The shim reads its own object, which has
 * none, so libzstd is not linked: every call answers "error" (ZSTD_isError is true). */
HIDDEN size_t ZSTD_compressBound(size_t size)
{
	return size;
}

HIDDEN unsigned ZSTD_isError(size_t code)
{
	(void)code;
	return 1;
}

HIDDEN void *ZSTD_createCCtx(void)
{
	return 0;
}

HIDDEN void *ZSTD_createDCtx(void)
{
	return 0;
}

HIDDEN size_t ZSTD_freeCCtx(void *context)
{
	(void)context;
	return 0;
}

HIDDEN size_t ZSTD_freeDCtx(void *context)
{
	(void)context;
	return 0;
}

HIDDEN size_t ZSTD_compressStream2(void *context, void *out, void *in, int end)
{
	(void)context, (void)out, (void)in, (void)end;
	return (size_t)-1;
}

HIDDEN size_t ZSTD_decompressStream(void *context, void *out, void *in)
{
	(void)context, (void)out, (void)in;
	return (size_t)-1;
}

HIDDEN size_t ZSTD_decompress(void *out, size_t capacity, const void *in, size_t size)
{
	(void)out, (void)capacity, (void)in, (void)size;
	return (size_t)-1;
}
