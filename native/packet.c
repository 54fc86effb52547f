/* Receiving from a packet socket with what the kernel knows beside the bytes. */
#define _GNU_SOURCE
#include "nv.h"

#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

struct nv_frame {
	int64_t timestamp_ns; /* CLOCK_REALTIME, 0 when the kernel gave none */
	uint32_t captured;    /* bytes in the buffer */
	uint32_t length;      /* bytes on the wire, the VLAN tag not counted */
	uint32_t vlan;	      /* TPID << 16 | TCI of a tag that the kernel took off; 0 none */
	uint32_t direction;   /* PACKET_HOST, PACKET_OUTGOING, ... */
};
_Static_assert(sizeof(struct nv_frame) == 24, "shared with packet_socket.ts");

static void read_control(struct msghdr *message, struct nv_frame *frame)
{
	struct cmsghdr *control;

	for (control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
		if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_TIMESTAMPNS) {
			struct timespec at;

			memcpy(&at, CMSG_DATA(control), sizeof(at));
			frame->timestamp_ns = (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
		} else if (control->cmsg_level == SOL_PACKET && control->cmsg_type == PACKET_AUXDATA) {
			struct tpacket_auxdata aux;

			memcpy(&aux, CMSG_DATA(control), sizeof(aux));
			frame->length = aux.tp_len;
			if (aux.tp_status & TP_STATUS_VLAN_VALID)
				frame->vlan = (uint32_t)(aux.tp_status & TP_STATUS_VLAN_TPID_VALID
								 ? aux.tp_vlan_tpid
								 : 0x8100) << 16 |
					      aux.tp_vlan_tci;
		}
	}
}

/* One frame, without waiting: -EAGAIN when there is none. The socket needs SO_TIMESTAMPNS and
 * PACKET_AUXDATA. */
NV_API int32_t nv_packet_recv(int32_t fd, void *buffer, uint32_t size, struct nv_frame *frame)
{
	char control[256];
	struct sockaddr_ll from;
	struct iovec part = { .iov_base = buffer, .iov_len = size };
	struct msghdr message = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC);

	if (length < 0)
		return -errno;
	memset(frame, 0, sizeof(*frame));
	frame->captured = (size_t)length < size ? (uint32_t)length : size;
	frame->length = (uint32_t)length;
	frame->direction = from.sll_pkttype;
	read_control(&message, frame);
	return 0;
}
