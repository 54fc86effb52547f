/* Programs by descriptor, and pins, which maps and links have too. */
#include "nv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

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
