/* Maps by descriptor. */
#include "nv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <unistd.h>

struct nv_map_info {
	char name[16];
	uint32_t id;
	uint32_t type;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t flags;
	uint32_t btf_id;
	uint32_t btf_key_type_id;
	uint32_t btf_value_type_id;
};
_Static_assert(sizeof(struct nv_map_info) == 52, "shared with map.ts");

/* inner_fd: the shape of the values of a map-in-map, or -1. */
NV_API int32_t nv_map_create(uint32_t type, const char *name, uint32_t key_size,
			     uint32_t value_size, uint32_t max_entries, uint32_t flags,
			     int32_t inner_fd)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);

	if (inner_fd >= 0)
		options.inner_map_fd = (uint32_t)inner_fd;
	return bpf_map_create(type, name, key_size, value_size, max_entries, &options);
}

NV_API int32_t nv_map_info(int32_t fd, struct nv_map_info *out)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int error = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (error)
		return error;
	memcpy(out->name, info.name, sizeof(out->name));
	out->id = info.id;
	out->type = info.type;
	out->key_size = info.key_size;
	out->value_size = info.value_size;
	out->max_entries = info.max_entries;
	out->flags = info.map_flags;
	out->btf_id = info.btf_id;
	out->btf_key_type_id = info.btf_key_type_id;
	out->btf_value_type_id = info.btf_value_type_id;
	return 0;
}

/* Copies the types of that id as far as there is room. Returns how many bytes there are. */
NV_API int32_t nv_btf_data(uint32_t id, void *out, uint32_t room)
{
	struct bpf_btf_info info = { .btf = (uintptr_t)out, .btf_size = room };
	uint32_t size = sizeof(info);
	int error, fd = bpf_btf_get_fd_by_id(id);

	if (fd < 0)
		return fd;
	error = bpf_obj_get_info_by_fd(fd, &info, &size);
	close(fd);
	return error ? error : (int32_t)info.btf_size;
}

NV_API int32_t nv_map_by_id(uint32_t id)
{
	return bpf_map_get_fd_by_id(id);
}

NV_API int32_t nv_map_freeze(int32_t fd)
{
	return bpf_map_freeze(fd);
}

NV_API int32_t nv_possible_cpus(void)
{
	return libbpf_num_possible_cpus();
}

NV_API int32_t nv_map_lookup(int32_t fd, const void *key, void *value, uint32_t flags)
{
	return bpf_map_lookup_elem_flags(fd, key, value, flags);
}

NV_API int32_t nv_map_update(int32_t fd, const void *key, const void *value, uint32_t flags)
{
	return bpf_map_update_elem(fd, key, value, flags);
}

NV_API int32_t nv_map_delete(int32_t fd, const void *key)
{
	return bpf_map_delete_elem(fd, key);
}

/* *count: room in, entries out; also set when the result is -ENOENT (the end was reached). */
NV_API int32_t nv_map_lookup_batch(int32_t fd, void *cursor_in, void *cursor_out, void *keys,
				   void *values, uint32_t *count, uint32_t element_flags)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = element_flags);

	return bpf_map_lookup_batch(fd, cursor_in, cursor_out, keys, values, count, &options);
}

/* *count: entries in, how many were done out, also after an error. */
NV_API int32_t nv_map_update_batch(int32_t fd, const void *keys, const void *values,
				   uint32_t *count, uint32_t element_flags)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = element_flags);

	return bpf_map_update_batch(fd, keys, values, count, &options);
}

/* *count: entries in, how many were done out, also after an error. */
NV_API int32_t nv_map_delete_batch(int32_t fd, const void *keys, uint32_t *count)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);

	return bpf_map_delete_batch(fd, keys, count, &options);
}
