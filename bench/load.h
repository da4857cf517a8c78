/* load.h: what the load programs of this folder share, so that a bare loop and ours are
 * measured by the same lines: arguments, clock, pacing, the sequence check and the meter.
 *
 * Every payload has PAYLOAD_BYTES bytes and starts with a 64-bit sequence number that the
 * sender writes and the receiver reads; everything else in it stays as it is.
 *
 * Arguments are key=value words after the role.  A program prints "ready" once traffic may
 * start, and at the end one JSON object on one line.  Whatever goes wrong ends it with one
 * sentence on stderr and status 1: these are tools, not a library. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

enum {
	PAYLOAD_BYTES = 1200,
	PINGS_MAX = 1 << 20,
	DRAIN_NS = 60000000
};

static inline void die(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, strerror(error));
	exit(1);
}

static inline int must(int rc, const char *what)
{
	if (rc < 0)
		die(what, errno);
	return rc;
}

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- arguments ---- */

struct args {
	const char *role;
	const char *interface; /* "": the kernel's socket */
	const char *mode;      /* bare_gso: gso or mmsg */
	struct sockaddr_in local;
	struct sockaddr_in peer;
	uint8_t peer_mac[6];
	uint64_t duration_ns;
	uint64_t warmup_ns;
	uint64_t rate;    /* packets per second, 0: as fast as it goes */
	uint64_t packets; /* send or echo so many and end; 0: for duration_ns */
	uint32_t window;  /* echo client: packets under way at most */
	bool spin;        /* never sleep */
};

static inline void parse_endpoint(struct sockaddr_in *out, char *text)
{
	char *colon = strchr(text, ':');

	out->sin_family = AF_INET;
	if (!colon || (*colon = 0, inet_pton(AF_INET, text, &out->sin_addr) != 1))
		die(text, EINVAL);
	out->sin_port = htons((uint16_t)atoi(colon + 1));
}

static inline void parse_args(struct args *a, int argc, char **argv)
{
	if (argc < 2)
		die("usage: ROLE key=value ...", EINVAL);
	*a = (struct args){.role = argv[1],
			   .interface = "",
			   .mode = "gso",
			   .duration_ns = 500000000u,
			   .warmup_ns = 50000000u,
			   .window = 64};
	for (int i = 2; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		uint8_t *m = a->peer_mac;

		if (!value)
			die(argv[i], EINVAL);
		*value++ = 0;
		if (!strcmp(argv[i], "interface"))
			a->interface = value;
		else if (!strcmp(argv[i], "mode"))
			a->mode = value;
		else if (!strcmp(argv[i], "local"))
			parse_endpoint(&a->local, value);
		else if (!strcmp(argv[i], "peer"))
			parse_endpoint(&a->peer, value);
		else if (!strcmp(argv[i], "mac") &&
			 sscanf(value, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", m, m + 1, m + 2,
				m + 3, m + 4, m + 5) == 6)
			continue;
		else if (!strcmp(argv[i], "ms"))
			a->duration_ns = strtoull(value, NULL, 10) * 1000000u;
		else if (!strcmp(argv[i], "warmup_ms"))
			a->warmup_ns = strtoull(value, NULL, 10) * 1000000u;
		else if (!strcmp(argv[i], "rate"))
			a->rate = strtoull(value, NULL, 10);
		else if (!strcmp(argv[i], "packets"))
			a->packets = strtoull(value, NULL, 10);
		else if (!strcmp(argv[i], "window"))
			a->window = (uint32_t)strtoul(value, NULL, 10);
		else if (!strcmp(argv[i], "spin"))
			a->spin = atoi(value) != 0;
		else
			die(argv[i], EINVAL);
	}
}

/* ---- the meter: counts inside a window that opens warmup_ns after the first packet ---- */

enum {
	METER_SYSCALLS, /* that move packets */
	METER_WAITS,    /* poll, when there is nothing to move */
	METER_ALLOCATIONS,
	METER_OTHER_LANE, /* packets that did not use the lane under test */
	METER_EXTRA_CNT
};

struct meter {
	const struct args *args;
	uint64_t packets, bytes;      /* grown by the program, from its first packet on */
	uint64_t first, last;         /* receivers: least and greatest sequence number */
	uint64_t odd;                 /* packets of a wrong length */
	uint64_t (*extra)(int which); /* counters read at both edges; see METER_* */
	uint64_t start_ns, open_ns, close_ns; /* 0: not yet */
	uint64_t drained_packets, drained_ns; /* after the window */
	struct rusage usage;
	uint64_t at_open[METER_EXTRA_CNT], in_window[METER_EXTRA_CNT], open_packets,
		open_bytes;
	uint64_t window_packets, window_bytes, window_span;
};

static inline void meter_packet(struct meter *m, const uint8_t *payload, uint32_t len_bytes)
{
	uint64_t sequence;

	if (len_bytes != PAYLOAD_BYTES) {
		m->odd++;
		return;
	}
	memcpy(&sequence, payload, sizeof sequence);
	m->packets++;
	m->bytes += len_bytes;
	if (sequence < m->first)
		m->first = sequence;
	if (sequence > m->last)
		m->last = sequence;
}

static inline void meter_open(struct meter *m, uint64_t now)
{
	for (int i = 0; i < METER_EXTRA_CNT; i++)
		m->at_open[i] = m->extra(i);
	m->open_packets = m->packets;
	m->open_bytes = m->bytes;
	m->first = UINT64_MAX;
	m->last = 0;
	getrusage(RUSAGE_SELF, &m->usage);
	m->open_ns = now;
}

static inline void meter_close(struct meter *m, uint64_t now)
{
	struct rusage end;

	getrusage(RUSAGE_SELF, &end);
	timersub(&end.ru_utime, &m->usage.ru_utime, &m->usage.ru_utime);
	timersub(&end.ru_stime, &m->usage.ru_stime, &m->usage.ru_stime);
	for (int i = 0; i < METER_EXTRA_CNT; i++)
		m->in_window[i] = m->extra(i) - m->at_open[i];
	m->window_packets = m->packets - m->open_packets;
	m->window_bytes = m->bytes - m->open_bytes;
	m->window_span = m->first <= m->last ? m->last - m->first + 1 : m->window_packets;
	m->close_ns = now;
}

/* meter_tick is called once a batch; false: the program is done.  A receiver (drain) goes on
 * after its window until nothing comes any more: a sender whose packets find nobody home
 * would be measured against a different path. */
static inline bool meter_tick(struct meter *m, uint64_t now, bool drain)
{
	if (m->close_ns) {
		if (m->drained_packets != m->packets || !drain) {
			m->drained_packets = m->packets;
			m->drained_ns = now;
		}
		return drain && now - m->drained_ns < DRAIN_NS;
	}
	if (!m->start_ns) {
		if (m->packets)
			m->start_ns = now;
		return true;
	}
	if (!m->open_ns && now - m->start_ns >= m->args->warmup_ns)
		meter_open(m, now);
	if (m->open_ns && (now - m->open_ns >= m->args->duration_ns ||
			   (m->args->packets && m->packets >= m->args->packets))) {
		meter_close(m, now);
		m->drained_ns = now;
		return drain;
	}
	return true;
}

static inline void meter_print(const struct meter *m)
{
	printf("{\"packets\": %" PRIu64 ", \"total\": %" PRIu64 ", \"bytes\": %" PRIu64
	       ", \"elapsed_ns\": %" PRIu64 ", \"user_ns\": %" PRIu64
	       ", \"system_ns\": %" PRIu64 ", \"syscalls\": %" PRIu64 ", \"waits\": %" PRIu64
	       ", \"allocations\": %" PRIu64 ", \"other_lane\": %" PRIu64
	       ", \"lost\": %" PRId64 ", \"odd\": %" PRIu64 ", \"payload_bytes\": %d}\n",
	       m->window_packets, m->packets, m->window_bytes, m->close_ns - m->open_ns,
	       (uint64_t)m->usage.ru_utime.tv_sec * 1000000000u +
		       (uint64_t)m->usage.ru_utime.tv_usec * 1000u,
	       (uint64_t)m->usage.ru_stime.tv_sec * 1000000000u +
		       (uint64_t)m->usage.ru_stime.tv_usec * 1000u,
	       m->in_window[METER_SYSCALLS], m->in_window[METER_WAITS],
	       m->in_window[METER_ALLOCATIONS], m->in_window[METER_OTHER_LANE],
	       (int64_t)(m->window_span - m->window_packets), m->odd, PAYLOAD_BYTES);
}

/* pace says how many of want packets may go now, at args.rate since the first one. */
static inline uint64_t pace(const struct meter *m, uint64_t now, uint64_t want)
{
	uint64_t due;

	if (!m->args->rate || !m->start_ns)
		return want;
	due = (now - m->start_ns) / 1000u * m->args->rate / 1000000u + 1;
	return due <= m->packets ? 0 : due - m->packets < want ? due - m->packets : want;
}

static inline void say_ready(void)
{
	puts("ready");
	fflush(stdout);
}

/* ---- round trips ---- */

static inline int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* round_trips_print sorts rtt_ns. */
static inline void round_trips_print(uint32_t *rtt_ns, size_t cnt, uint64_t syscalls,
				     uint64_t allocations)
{
	if (!cnt)
		die("no ping came back", ETIMEDOUT);
	qsort(rtt_ns, cnt, sizeof *rtt_ns, by_value);
	printf("{\"round_trips\": %zu, \"p50_ns\": %" PRIu32 ", \"p99_ns\": %" PRIu32
	       ", \"syscalls\": %" PRIu64 ", \"allocations\": %" PRIu64
	       ", \"payload_bytes\": %d}\n",
	       cnt, rtt_ns[cnt / 2], rtt_ns[cnt * 99 / 100], syscalls, allocations,
	       PAYLOAD_BYTES);
}

#endif
