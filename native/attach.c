/* Attaching programs to network interfaces: TCX links by the system call itself (Debian 12's libbpf
 * and headers are older than TCX), and clsact filters by libbpf for kernels before 6.6. */
#define _GNU_SOURCE
#include "nv.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* include/uapi/linux/bpf.h of Linux 6.6: the parts of union bpf_attr that TCX needs. */
struct link_create_attr {
	uint32_t prog_fd;
	uint32_t target_ifindex;
	uint32_t attach_type;
	uint32_t flags;
	uint32_t relative_fd;
	uint32_t pad;
	uint64_t expected_revision;
};

struct prog_query_attr {
	uint32_t target_ifindex;
	uint32_t attach_type;
	uint32_t query_flags;
	uint32_t attach_flags;
	uint64_t prog_ids;
	uint32_t count;
	uint32_t pad;
	uint64_t prog_attach_flags;
	uint64_t link_ids;
	uint64_t link_attach_flags;
	uint64_t revision;
};

/* struct bpf_link_info with the tcx member of its union. */
struct tcx_link_info {
	uint32_t type;
	uint32_t id;
	uint32_t prog_id;
	uint32_t pad;
	uint32_t ifindex;
	uint32_t attach_type;
	uint8_t rest[48];
};

struct nv_link_info {
	uint32_t type;
	uint32_t id;
	uint32_t prog_id;
	uint32_t ifindex;
	uint32_t attach_type;
};
_Static_assert(sizeof(struct nv_link_info) == 20, "shared with tcx.ts");

static int64_t sys_bpf(int command, void *attr, size_t size)
{
	return nv_result(syscall(__NR_bpf, command, attr, size));
}

enum { TCX_BEFORE = 1 << 3 }; /* BPF_F_BEFORE */

/* The program runs before those that are already attached: one that runs earlier could end the chain
 * and so go around the policy. */
NV_API int32_t nv_tcx_attach(int32_t prog_fd, uint32_t ifindex, uint32_t attach_type)
{
	struct link_create_attr attr = {
		.prog_fd = (uint32_t)prog_fd,
		.target_ifindex = ifindex,
		.attach_type = attach_type,
		.flags = TCX_BEFORE,
	};

	return sys_bpf(BPF_LINK_CREATE, &attr, sizeof(attr));
}

/* Programs and links on one TCX hook in the order they run. *count: room in, how many out. */
NV_API int32_t nv_tcx_query(uint32_t ifindex, uint32_t attach_type, uint32_t *prog_ids,
			    uint32_t *link_ids, uint32_t *count)
{
	struct prog_query_attr attr = {
		.target_ifindex = ifindex,
		.attach_type = attach_type,
		.prog_ids = (uintptr_t)prog_ids,
		.link_ids = (uintptr_t)link_ids,
		.count = *count,
	};
	int64_t error = sys_bpf(BPF_PROG_QUERY, &attr, sizeof(attr));

	*count = attr.count;
	return error;
}

/* Swaps the program of a link; no packet passes between the two. */
NV_API int32_t nv_link_update(int32_t link_fd, int32_t prog_fd)
{
	struct {
		uint32_t link_fd;
		uint32_t new_prog_fd;
		uint32_t flags;
		uint32_t old_prog_fd;
	} attr = { .link_fd = (uint32_t)link_fd, .new_prog_fd = (uint32_t)prog_fd };

	return sys_bpf(BPF_LINK_UPDATE, &attr, sizeof(attr));
}

NV_API int32_t nv_link_detach(int32_t link_fd)
{
	uint32_t attr = (uint32_t)link_fd;

	return sys_bpf(BPF_LINK_DETACH, &attr, sizeof(attr));
}

NV_API int32_t nv_link_by_id(uint32_t id)
{
	uint32_t attr[3] = { id };

	return sys_bpf(BPF_LINK_GET_FD_BY_ID, attr, sizeof(attr));
}

NV_API int32_t nv_link_info(int32_t link_fd, struct nv_link_info *out)
{
	struct tcx_link_info info = { 0 };
	struct {
		uint32_t fd;
		uint32_t size;
		uint64_t info;
	} attr = { (uint32_t)link_fd, sizeof(info), (uintptr_t)&info };
	int64_t error = sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr));

	if (error)
		return error;
	out->type = info.type;
	out->id = info.id;
	out->prog_id = info.prog_id;
	out->ifindex = info.ifindex;
	out->attach_type = info.attach_type;
	return 0;
}

/* Makes the clsact qdisc: 1 made, 0 was there. */
NV_API int32_t nv_clsact_create(int32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	int error = bpf_tc_hook_create(&hook);

	if (error == -EEXIST)
		return 0;
	return error ? error : 1;
}

/* Removes the whole clsact qdisc with every filter on it. */
NV_API int32_t nv_clsact_destroy(int32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);

	return bpf_tc_hook_destroy(&hook);
}

static enum bpf_tc_attach_point attach_point(int32_t egress)
{
	return egress ? BPF_TC_EGRESS : BPF_TC_INGRESS;
}

/* Adds or atomically replaces the filter of this handle and priority. */
NV_API int32_t nv_clsact_attach(int32_t ifindex, int32_t egress, int32_t prog_fd, uint32_t handle,
				uint32_t priority)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = attach_point(egress));
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = handle, .priority = priority,
		    .prog_fd = prog_fd, .flags = BPF_TC_F_REPLACE);

	return bpf_tc_attach(&hook, &filter);
}

NV_API int32_t nv_clsact_detach(int32_t ifindex, int32_t egress, uint32_t handle, uint32_t priority)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = attach_point(egress));
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = handle, .priority = priority);

	return bpf_tc_detach(&hook, &filter);
}

/* The id of the program behind this handle and priority; -ENOENT when there is none. */
NV_API int32_t nv_clsact_query(int32_t ifindex, int32_t egress, uint32_t handle, uint32_t priority)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = attach_point(egress));
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = handle, .priority = priority);
	int error = bpf_tc_query(&hook, &filter);

	return error ? error : (int32_t)filter.prog_id;
}

/* Counts the filters in one dump answer; 1 when the dump is complete. */
static int count_answer(const struct nlmsghdr *header, ssize_t size, int32_t *filters)
{
	for (; NLMSG_OK(header, size); header = NLMSG_NEXT(header, size)) {
		const struct nlmsgerr *failure = NLMSG_DATA(header);
		const struct tcmsg *filter = NLMSG_DATA(header);

		if (header->nlmsg_type == NLMSG_DONE)
			return 1;
		if (header->nlmsg_type == NLMSG_ERROR)
			return failure->error;
		/* A classifier announces itself with handle 0 before its filters. */
		if (header->nlmsg_type == RTM_NEWTFILTER && filter->tcm_handle)
			(*filters)++;
	}
	return 0;
}

/* How many filters, whoever's, one direction of the clsact qdisc holds. */
NV_API int32_t nv_clsact_count(int32_t ifindex, int32_t egress)
{
	struct {
		struct nlmsghdr header;
		struct tcmsg filter;
	} request = {
		.header = { .nlmsg_len = sizeof(request),
			    .nlmsg_type = RTM_GETTFILTER,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.filter = { .tcm_family = AF_UNSPEC,
			    .tcm_ifindex = ifindex,
			    .tcm_parent = TC_H_MAKE(TC_H_CLSACT,
						    egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS) },
	};
	_Alignas(struct nlmsghdr) char answer[32768];
	int32_t filters = 0;
	int state = 0;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (send(fd, &request, sizeof(request), 0) < 0)
		state = -errno;
	while (state == 0) {
		ssize_t size = recv(fd, answer, sizeof(answer), 0);

		state = size < 0 ? -errno
				 : count_answer((const struct nlmsghdr *)answer, size, &filters);
	}
	close(fd);
	return state < 0 ? state : filters;
}
