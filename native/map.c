/* Maps and programs by descriptor. */
#include "nv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

struct nv_map_info {
	char name[16];
	uint32_t id;
	uint32_t type;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t flags;
};
_Static_assert(sizeof(struct nv_map_info) == 40, "shared with map.ts");

struct nv_prog_info {
	char name[16];
	uint8_t tag[8];
	uint64_t run_time_ns;
	uint64_t run_count;
	uint64_t load_time_ns;
	uint32_t id;
	uint32_t type;
	uint32_t verified_insns;
	uint32_t jited_size;
	uint32_t xlated_size;
	uint32_t map_count;
};
_Static_assert(sizeof(struct nv_prog_info) == 72, "shared with program.ts");

struct nv_test_run {
	uint32_t retval;
	uint32_t data_out_size;
	uint32_t ctx_out_size;
	uint32_t duration_ns;
};
_Static_assert(sizeof(struct nv_test_run) == 16, "shared with program.ts");

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
	return 0;
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

/* A null key asks for the first one; -ENOENT after the last. */
NV_API int32_t nv_map_next_key(int32_t fd, const void *key, void *next)
{
	return bpf_map_get_next_key(fd, key, next);
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

NV_API int32_t nv_pin(int32_t fd, const char *path)
{
	return bpf_obj_pin(fd, path);
}

NV_API int32_t nv_open_pinned(const char *path)
{
	return bpf_obj_get(path);
}

NV_API int32_t nv_prog_info(int32_t fd, struct nv_prog_info *out)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	int error = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (error)
		return error;
	memcpy(out->name, info.name, sizeof(out->name));
	memcpy(out->tag, info.tag, sizeof(out->tag));
	out->run_time_ns = info.run_time_ns;
	out->run_count = info.run_cnt;
	out->load_time_ns = info.load_time;
	out->id = info.id;
	out->type = info.type;
	out->verified_insns = info.verified_insns;
	out->jited_size = info.jited_prog_len;
	out->xlated_size = info.xlated_prog_len;
	out->map_count = info.nr_map_ids;
	return 0;
}

/* The ids of the maps that a program uses; *count: room in, how many there are out. */
NV_API int32_t nv_prog_map_ids(int32_t fd, uint32_t *ids, uint32_t *count)
{
	struct bpf_prog_info info = { .map_ids = (uintptr_t)ids, .nr_map_ids = *count };
	uint32_t size = sizeof(info);
	int error = bpf_obj_get_info_by_fd(fd, &info, &size);

	*count = info.nr_map_ids;
	return error;
}

NV_API int32_t nv_prog_by_id(uint32_t id)
{
	return bpf_prog_get_fd_by_id(id);
}

/* BPF_PROG_TEST_RUN. Buffers that a program type does not take are null with size 0. */
NV_API int32_t nv_prog_test_run(int32_t fd, const void *data_in, uint32_t data_in_size,
				void *data_out, uint32_t data_out_size, const void *ctx_in,
				uint32_t ctx_in_size, void *ctx_out, uint32_t ctx_out_size,
				uint32_t repeat, uint32_t flags, struct nv_test_run *out)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = data_in, .data_size_in = data_in_size,
		    .data_out = data_out, .data_size_out = data_out_size, .ctx_in = ctx_in,
		    .ctx_size_in = ctx_in_size, .ctx_out = ctx_out, .ctx_size_out = ctx_out_size,
		    .repeat = (int)repeat, .flags = flags);
	int error = bpf_prog_test_run_opts(fd, &options);

	out->retval = options.retval;
	out->data_out_size = options.data_size_out;
	out->ctx_out_size = options.ctx_size_out;
	out->duration_ns = options.duration;
	return error;
}
