/* Sends UDP packets of many flows out of an interface, at a steady rate.
 *
 *   flood INTERFACE TO_MAC FROM_IP TO_IP flows|sources RATE COUNT
 *
 * flows: packet n is of flow n, told by its ports. sources: packet n comes from the address FROM_IP + n, one flow each.
 * A packet that the interface has no room for is sent again.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_AT_ONCE = 64, PORTS = 60000, FIRST_PORT = 2000, TICK_US = 2000 };

struct frame {
	struct ether_header ether;
	struct iphdr ip;
	struct udphdr udp;
	uint8_t payload[4];
} __attribute__((packed));

static struct frame frames[MOST_AT_ONCE];
static struct iovec vectors[MOST_AT_ONCE];
static struct mmsghdr messages[MOST_AT_ONCE];
static uint32_t from_ip;
static int by_source;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint16_t ip_checksum(struct iphdr ip)
{
	uint16_t words[sizeof(ip) / 2];
	uint32_t sum = 0;

	memcpy(words, &ip, sizeof(ip));
	for (size_t i = 0; i < sizeof(ip) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~(sum + (sum >> 16));
}

static void number(struct frame *frame, uint64_t n)
{
	frame->ip.saddr = htonl(by_source ? from_ip + (uint32_t)n : from_ip);
	frame->ip.check = 0;
	frame->ip.check = ip_checksum(frame->ip);
	frame->udp.source = htons((uint16_t)(FIRST_PORT + (by_source ? 0 : n % PORTS)));
	frame->udp.dest = htons((uint16_t)(FIRST_PORT + (by_source ? 0 : n / PORTS % PORTS)));
}

static int open_link(const char *name, uint8_t mac[ETH_ALEN])
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(name) };
	int on = 1, fd = socket(AF_PACKET, SOCK_RAW, 0);
	struct ifreq request = {};

	if (fd < 0 || !address.sll_ifindex)
		fail(name);
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		fail("SIOCGIFHWADDR");
	memcpy(mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("bind");
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on));
	return fd;
}

static void prepare(const uint8_t from_mac[ETH_ALEN], const uint8_t to_mac[ETH_ALEN], uint32_t to_ip_be)
{
	for (int i = 0; i < MOST_AT_ONCE; i++) {
		struct frame *frame = &frames[i];

		memcpy(frame->ether.ether_shost, from_mac, ETH_ALEN);
		memcpy(frame->ether.ether_dhost, to_mac, ETH_ALEN);
		frame->ether.ether_type = htons(ETHERTYPE_IP);
		frame->ip.version = 4;
		frame->ip.ihl = 5;
		frame->ip.ttl = 64;
		frame->ip.protocol = IPPROTO_UDP;
		frame->ip.daddr = to_ip_be;
		frame->ip.tot_len = htons(sizeof(*frame) - sizeof(frame->ether));
		frame->udp.len = htons(sizeof(frame->udp) + sizeof(frame->payload));
		vectors[i] = (struct iovec){ frame, sizeof(*frame) };
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
}

/* Sends packets from one number up to another. Returns the number of the next. */
static uint64_t send_some(int fd, uint64_t next, uint64_t end)
{
	int count = end - next < MOST_AT_ONCE ? (int)(end - next) : MOST_AT_ONCE;

	for (int i = 0; i < count; i++)
		number(&frames[i], next + i);
	count = sendmmsg(fd, messages, (unsigned)count, 0);
	if (count < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
		fail("sendmmsg");
	return next + (count > 0 ? (uint64_t)count : 0);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	unsigned m[ETH_ALEN];
	uint8_t from_mac[ETH_ALEN], to_mac[ETH_ALEN];
	struct in_addr from, to;
	uint64_t next = 0, count = 0;
	double started, rate;
	int fd;

	if (argc != 8 || sscanf(argv[2], "%x:%x:%x:%x:%x:%x", m, m + 1, m + 2, m + 3, m + 4, m + 5) != ETH_ALEN ||
	    !inet_aton(argv[3], &from) || !inet_aton(argv[4], &to) || (rate = atof(argv[6])) <= 0 || !(count = strtoull(argv[7], NULL, 10))) {
		fprintf(stderr, "usage: %s INTERFACE TO_MAC FROM_IP TO_IP flows|sources RATE COUNT\n", argv[0]);
		return 2;
	}
	for (int i = 0; i < ETH_ALEN; i++)
		to_mac[i] = (uint8_t)m[i];
	from_ip = ntohl(from.s_addr);
	by_source = !strcmp(argv[5], "sources");
	fd = open_link(argv[1], from_mac);
	prepare(from_mac, to_mac, to.s_addr);
	started = seconds();
	while (next < count) {
		uint64_t due = (uint64_t)((seconds() - started) * rate);

		for (due = due < count ? due : count; next < due;)
			next = send_some(fd, next, due);
		usleep(TICK_US);
	}
	return 0;
}
