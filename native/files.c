/* Files where Deno's own calls ask for all permissions: below /proc and /sys. */
#include "nv.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

NV_API int32_t nv_mkdir(const char *path, uint32_t mode)
{
	return nv_result(mkdir(path, mode));
}

NV_API int32_t nv_rmdir(const char *path)
{
	return nv_result(rmdir(path));
}

NV_API int32_t nv_unlink(const char *path)
{
	return nv_result(unlink(path));
}

/* 0 when something is there. */
NV_API int32_t nv_exists(const char *path)
{
	struct stat found;

	return nv_result(lstat(path, &found));
}

/* The names in a folder, each with its NUL, as many as fit whole. Returns the bytes that all of them need. */
NV_API int32_t nv_list_dir(const char *path, char *names, uint32_t size)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	uint32_t used = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		uint32_t length = (uint32_t)strlen(entry->d_name) + 1;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (used + length <= size)
			memcpy(names + used, entry->d_name, length);
		used += length;
	}
	closedir(dir);
	return (int32_t)used;
}

/* Takes the whole file or folder for this descriptor; -EWOULDBLOCK when another has it. */
NV_API int32_t nv_try_lock(int32_t fd)
{
	return nv_result(flock(fd, LOCK_EX | LOCK_NB));
}
