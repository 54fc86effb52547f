/* BPF objects: opening, changing what may be changed before the load, loading. */
#include "nv.h"

#include <bpf/libbpf.h>
#include <string.h>

struct nv_map_spec {
	char name[64];
	uint32_t type;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t flags;
	int32_t fd; /* -1 before the load */
};
_Static_assert(sizeof(struct nv_map_spec) == 88, "shared with object.ts");

/* data is copied. The handle in *out is freed by nv_object_close(). */
NV_API int32_t nv_object_open(const void *data, uint32_t size, const char *name, uint64_t *out)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name);
	struct bpf_object *object = bpf_object__open_mem(data, size, &options);

	if (!object)
		return -errno;
	*out = (uint64_t)(uintptr_t)object;
	return 0;
}

NV_API void nv_object_close(struct bpf_object *object)
{
	bpf_object__close(object);
}

NV_API int32_t nv_object_load(struct bpf_object *object)
{
	return bpf_object__load(object);
}

/* Describes the map at index; -ENOENT past the last one. */
NV_API int32_t nv_object_map_at(struct bpf_object *object, uint32_t index, struct nv_map_spec *out)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object) {
		if (index--)
			continue;
		memset(out, 0, sizeof(*out));
		strncpy(out->name, bpf_map__name(map), sizeof(out->name) - 1);
		out->type = bpf_map__type(map);
		out->key_size = bpf_map__key_size(map);
		out->value_size = bpf_map__value_size(map);
		out->max_entries = bpf_map__max_entries(map);
		out->flags = bpf_map__map_flags(map);
		out->fd = bpf_map__fd(map);
		return 0;
	}
	return -ENOENT;
}

/* Copies the name of the program at index into name (64 bytes); -ENOENT past the last one. */
NV_API int32_t nv_object_program_at(struct bpf_object *object, uint32_t index, char *name)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object) {
		if (index--)
			continue;
		memset(name, 0, 64);
		strncpy(name, bpf_program__name(program), 63);
		return 0;
	}
	return -ENOENT;
}

/* The object's own descriptor of a loaded program: duplicate it to keep it. */
NV_API int32_t nv_object_program_fd(struct bpf_object *object, const char *name)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);

	return program ? bpf_program__fd(program) : -ENOENT;
}

NV_API int32_t nv_object_set_autoload(struct bpf_object *object, const char *name, int32_t on)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);

	return program ? bpf_program__set_autoload(program, on) : -ENOENT;
}

NV_API int32_t nv_object_set_max_entries(struct bpf_object *object, const char *name,
					 uint32_t max_entries)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);

	return map ? bpf_map__set_max_entries(map, max_entries) : -ENOENT;
}

/* The load takes the map behind fd instead of making one; fd is duplicated. */
NV_API int32_t nv_object_reuse_map(struct bpf_object *object, const char *name, int32_t fd)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);

	return map ? bpf_map__reuse_fd(map, fd) : -ENOENT;
}

/* First contents of a global data section (.rodata, .data, .bss); size must be the section's. */
NV_API int32_t nv_object_set_initial(struct bpf_object *object, const char *name, const void *data,
				     uint32_t size)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);

	return map ? bpf_map__set_initial_value(map, data, size) : -ENOENT;
}

/* Copies the first contents of a global data section; returns the section's size. */
NV_API int32_t nv_object_get_initial(struct bpf_object *object, const char *name, void *buffer,
				     uint32_t size)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);
	size_t have = 0;
	const void *data;

	if (!map)
		return -ENOENT;
	data = bpf_map__initial_value(map, &have);
	if (!data)
		return -ENODATA;
	memcpy(buffer, data, have < size ? have : size);
	return (int32_t)have;
}
