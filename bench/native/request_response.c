/* One-byte requests and answers over TCP and UDP, and connections that carry one of each.
 *
 *   request_response server PORT               serves PORT (TCP and UDP) and PORT+1 (one exchange per connection)
 *   request_response tcp|udp|connect ADDRESS PORT SECONDS
 *                                              prints exchanges per second, and their p50 and p99 in microseconds
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int check(int result, const char *what)
{
	if (result < 0)
		fail(what);
	return result;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int open_socket(int type)
{
	int fd = check(socket(AF_INET, type | SOCK_CLOEXEC, 0), "socket"), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_STREAM) {
		/* Where the default is bbr, its pacing would be measured. */
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	return fd;
}

static struct sockaddr_in address_of(const char *host, const char *port, int add)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)(atoi(port) + add)) };

	if (host && inet_pton(AF_INET, host, &a.sin_addr) != 1) {
		fprintf(stderr, "not an address: %s\n", host);
		exit(2);
	}
	return a;
}

static int bound(int type, const char *port, int add)
{
	struct sockaddr_in a = address_of(NULL, port, add);
	int fd = open_socket(type);

	check(bind(fd, (struct sockaddr *)&a, sizeof(a)), "bind");
	if (type == SOCK_STREAM)
		check(listen(fd, 1024), "listen");
	return fd;
}

static void serve_tcp(int listener, int once)
{
	char byte;
	int one = 1;

	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1 && !once)
			;
		/* The server closes first: it keeps the connection's memory, and the client's port is free again. */
		close(fd);
	}
}

static void serve_udp(int fd)
{
	struct sockaddr_in from;
	socklen_t length;
	char byte;

	for (;;) {
		length = sizeof(from);
		if (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &length) == 1)
			sendto(fd, &byte, 1, 0, (struct sockaddr *)&from, length);
	}
}

static void serve(const char *port)
{
	int rr = bound(SOCK_STREAM, port, 0), crr = bound(SOCK_STREAM, port, 1), udp = bound(SOCK_DGRAM, port, 0);

	/* The children end with their parent: it holds the session that the caller kills. */
	if (!check(fork(), "fork"))
		serve_udp(udp);
	if (!check(fork(), "fork"))
		serve_tcp(crr, 1);
	puts("ready");
	fflush(stdout);
	serve_tcp(rr, 0);
}

static int connected(int type, const struct sockaddr_in *to)
{
	struct timeval limit = { .tv_sec = 2 };
	int fd = open_socket(type);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* of connect too */
	check(connect(fd, (const struct sockaddr *)to, sizeof(*to)), "connect");
	return fd;
}

static void exchange(int fd)
{
	char byte = 'x';

	if (write(fd, &byte, 1) != 1)
		fail("send");
	if (read(fd, &byte, 1) != 1)
		fail("receive");
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void measure(const char *kind, const struct sockaddr_in *to, double seconds)
{
	enum { ROOM = 4 << 20 };
	uint32_t *took = malloc(ROOM * sizeof(*took));
	int connections = !strcmp(kind, "connect"), type = strcmp(kind, "udp") ? SOCK_STREAM : SOCK_DGRAM, fd = -1;
	uint64_t start, end, before, after;
	size_t count = 0, kept;
	char byte;

	if (!took)
		fail("malloc");
	if (!connections) {
		fd = connected(type, to);
		exchange(fd);
	}
	before = start = now_ns();
	end = start + (uint64_t)(seconds * 1e9);
	do {
		if (connections) {
			fd = connected(type, to);
			exchange(fd);
			if (read(fd, &byte, 1) != 0)
				fail("end of connection");
			close(fd);
		} else {
			exchange(fd);
		}
		after = now_ns();
		took[count++ % ROOM] = (uint32_t)(after - before);
		before = after;
	} while (after < end);
	kept = count < ROOM ? count : ROOM; /* of a long run the latest */
	qsort(took, kept, sizeof(*took), ascending);
	printf("%.1f %.2f %.2f\n", count / ((after - start) / 1e9), took[kept / 2] / 1e3, took[kept * 99 / 100] / 1e3);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "server")) {
		serve(argv[2]);
	} else if (argc == 5) {
		struct sockaddr_in to = address_of(argv[2], argv[3], !strcmp(argv[1], "connect"));

		measure(argv[1], &to, atof(argv[4]));
		return 0;
	}
	fprintf(stderr, "usage: %s server PORT | tcp|udp|connect ADDRESS PORT SECONDS\n", argv[0]);
	return 2;
}
