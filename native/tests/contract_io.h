/* contract_io.h: how the contract suite sends, receives and checks; used by contract.c.
 *
 * A message is a length, an ECN codepoint and a seed from which its bytes follow, so that
 * a whole conversation can be written down as a table and every byte of it checked. */
#ifndef QX_CONTRACT_IO_H
#define QX_CONTRACT_IO_H

#include <errno.h>

#include "contract.h"
#include "platform.h"
#include "t.h"

enum {
	BURST_DATAGRAMS = 64,
	WINDOW_DATAGRAMS = 192,        /* sent and not yet seen at the other end */
	WINDOW_BYTES = 128 * 1024,     /* fits an unprivileged socket's receive buffer */
	ROUNDS_WITHOUT_PROGRESS = 400, /* of at most a few milliseconds each */
	PAYLOAD_BUFFER_BYTES = 1 << 20
};

struct message {
	uint32_t len_bytes;
	uint32_t seed;
	uint8_t ecn;
};

static const struct contract_backend *backend;
static uint8_t family;
static struct contract_pair pair;
static bool pair_is_open;
static struct qx_batch batch;
static uint8_t payload_buffer[PAYLOAD_BUFFER_BYTES];

static uint8_t message_byte(const struct message *m, uint32_t i)
{
	return (uint8_t)(m->seed * 167u + i * 13u + (i >> 8));
}

static void write_message(uint8_t *to, const struct message *m)
{
	for (uint32_t i = 0; i < m->len_bytes; i++)
		to[i] = message_byte(m, i);
}

static void check_bytes(const uint8_t *got, uint32_t len_bytes, const struct message *want)
{
	T_EQ(len_bytes, want->len_bytes);
	for (uint32_t i = 0; i < len_bytes; i++)
		if (got[i] != message_byte(want, i))
			T_FAIL("byte %u of a %u-byte datagram is wrong", i, len_bytes);
}

static void check_addr(const struct qx_addr *got, const struct qx_addr *want)
{
	T_EQ(got->family, want->family);
	T_EQ(got->port, want->port);
	T_EQ(got->zero, 0);
	T_EQ(memcmp(got->ip, want->ip, sizeof(got->ip)), 0);
	T_EQ(got->scope_id, want->scope_id);
}

/* Every frame is somewhere: the invariant of umem.h, seen from outside. */
static void check_census(struct qx_datapath *dp)
{
	struct qx_stats stats;
	uint32_t sum = 0;

	T_EQ(qx_get_stats(dp, &stats), 0);
	for (int i = 0; i < QX_FRAME_STATE_CNT; i++)
		sum += stats.frames[i];
	T_EQ(sum, stats.frame_cnt);
}

static struct qx_stats stats_of(struct qx_datapath *dp)
{
	struct qx_stats stats;

	T_EQ(qx_get_stats(dp, &stats), 0);
	return stats;
}

/* Drop counters of everything but the named reason. */
static uint64_t drops_except(const struct qx_stats *stats, enum qx_drop reason)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < QX_DROP_CNT; i++)
		if (i != (uint32_t)reason)
			sum += stats->drop[i];
	return sum;
}

static bool readable(struct qx_datapath *dp)
{
	return platform_readable(dp, 0);
}

static void pump(void)
{
	backend->pump(&pair);
}

/* receive is qx_recv with what must hold after every call checked; the caller passes the
 * batch to done. */
static uint32_t receive(struct qx_datapath *dp)
{
	int n = qx_recv(dp, &batch, backend->now(&pair));
	uint8_t *memory[QX_LANE_CNT];
	size_t len_bytes[QX_LANE_CNT];

	if (n < 0)
		T_FAIL("qx_recv: %s", strerror(-n));
	T_EQ(n, batch.datagram_cnt);
	T_CHECK(n <= QX_BATCH_MAX);
	T_CHECK(batch.path_cnt <= batch.datagram_cnt);
	for (uint32_t lane = 0; lane < QX_LANE_CNT; lane++)
		len_bytes[lane] = qx_memory(dp, lane, &memory[lane]);
	for (int i = 0; i < n; i++) {
		const struct qx_datagram *d = &batch.datagrams[i];

		T_CHECK(d->path < batch.path_cnt);
		T_CHECK(d->lane < QX_LANE_CNT);
		T_CHECK((size_t)d->off_bytes + d->len_bytes <= len_bytes[d->lane]);
		T_CHECK(d->data == memory[d->lane] + d->off_bytes);
	}
	check_census(dp);
	return (uint32_t)n;
}

static void done(struct qx_datapath *dp)
{
	struct qx_stats stats;

	qx_recv_done(dp, &batch);
	T_EQ(batch.datagram_cnt, 0);
	stats = stats_of(dp);
	/* With several endpoints on one device, others' inboxes may hold frames. */
	if (!pair.clients[1])
		T_EQ(stats.frames[QX_FRAME_LENT], 0);
	check_census(dp);
}

/* A turn of an endpoint that expects nothing: takes completions and wake-ups. */
static void idle_turn(struct qx_datapath *dp)
{
	T_EQ(receive(dp), 0);
	done(dp);
}

/* quiesce lets news that are not datagrams (a link that came up) be noticed, so that only
 * what the test does makes qx_fd readable from here on. */
static void quiesce(struct qx_datapath *dp)
{
	for (int i = 0; readable(dp) && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		idle_turn(dp);
		pump();
	}
}

/* send_some offers messages on one path.  Returns how many were taken. */
static uint32_t send_some(struct qx_datapath *dp, const struct qx_path *path,
			  const struct message *messages, uint32_t n)
{
	struct qx_send_item items[QX_BATCH_MAX];
	uint32_t used = 0, cnt = 0;
	int taken;

	while (cnt < n && cnt < QX_BATCH_MAX &&
	       used + messages[cnt].len_bytes <= PAYLOAD_BUFFER_BYTES) {
		write_message(payload_buffer + used, &messages[cnt]);
		items[cnt] = (struct qx_send_item){.len_bytes = messages[cnt].len_bytes,
						   .ecn = messages[cnt].ecn};
		used += messages[cnt].len_bytes;
		cnt++;
	}
	taken = qx_send(dp, payload_buffer, items, cnt, path, 1);
	if (taken < 0)
		T_FAIL("qx_send: %s", strerror(-taken));
	T_CHECK((uint32_t)taken <= cnt);
	check_census(dp);
	return (uint32_t)taken;
}

/* What receiving checks of each datagram besides its bytes. */
struct expectation {
	const struct qx_addr *peer; /* NULL: not checked */
	const struct qx_addr *local;
	bool ecn;
	bool lane; /* must be the back end's */
};

static void check_datagram(const struct qx_datagram *d, const struct message *want,
			   const struct expectation *expect)
{
	check_bytes(d->data, d->len_bytes, want);
	if (expect->peer)
		check_addr(&batch.paths[d->path].peer, expect->peer);
	if (expect->local)
		check_addr(&batch.paths[d->path].local, expect->local);
	if (expect->ecn)
		T_EQ(d->ecn, backend->no_ecn ? QX_ECN_NOT_ECT : want->ecn);
	if (expect->lane)
		T_EQ(d->lane, backend->lane);
}

/* converse sends all messages from one endpoint to another, which keeps up, and checks
 * that each arrives once, in order. */
static void converse(struct qx_datapath *from, const struct qx_path *path,
		     struct qx_datapath *to, const struct message *messages, uint32_t n,
		     const struct expectation *expect)
{
	uint32_t sent = 0, got = 0, idle = 0, ahead_bytes = 0;

	while (got < n) {
		uint32_t offer = 0, offer_bytes = 0, moved = 0;

		while (sent + offer < n && offer < BURST_DATAGRAMS &&
		       sent + offer - got < WINDOW_DATAGRAMS) {
			uint32_t len_bytes = messages[sent + offer].len_bytes;

			if (ahead_bytes + offer_bytes > 0 &&
			    ahead_bytes + offer_bytes + len_bytes > WINDOW_BYTES)
				break;
			offer_bytes += len_bytes;
			offer++;
		}
		if (offer) {
			uint32_t taken = send_some(from, path, messages + sent, offer);

			for (uint32_t i = 0; i < taken; i++)
				ahead_bytes += messages[sent + i].len_bytes;
			sent += taken;
			moved += taken;
		}
		pump();
		receive(to);
		for (uint32_t i = 0; i < batch.datagram_cnt; i++) {
			if (got == sent)
				T_FAIL("more datagrams arrived than were sent");
			check_datagram(&batch.datagrams[i], &messages[got], expect);
			ahead_bytes -= messages[got].len_bytes;
			got++;
			moved++;
		}
		done(to);
		idle_turn(from);
		idle = moved ? 0 : idle + 1;
		if (idle == ROUNDS_WITHOUT_PROGRESS)
			T_FAIL("%u of %u datagrams sent, %u arrived, no more come", sent, n,
			       got);
	}
	pump();
	idle_turn(to);
}

static struct qx_path path_to(const struct qx_addr *peer)
{
	struct qx_path path = {.peer = *peer};

	return path;
}

static uint32_t payload_max(void)
{
	return family == QX_IPV4 ? backend->payload_max_v4 : backend->payload_max_v6;
}

/* settle lets both sides hear each other until traffic runs on the back end's lane. */
static void settle(struct qx_datapath *client, const struct qx_addr *client_addr,
		   const struct qx_addr *hub_addr)
{
	const struct message hello[] = {{.len_bytes = 9, .seed = 1}};
	const struct expectation loose = {.peer = NULL};
	struct qx_path there = path_to(hub_addr), back = path_to(client_addr);

	back.local = *hub_addr;
	converse(client, &there, pair.hub, hello, 1, &loose);
	converse(pair.hub, &back, client, hello, 1, &loose);
}

/* open_pair opens what options ask for (family is set here) and settles it. */
static void open_pair(struct contract_options options)
{
	char why[QX_WHY_BYTES] = "";
	int rc;

	options.family = family;
	if (options.client_cnt == 0)
		options.client_cnt = 1;
	memset(&pair, 0, sizeof(pair));
	rc = backend->open(&pair, &options, why);
	if (rc < 0)
		T_FAIL("%s open: %s (%s)", backend->name, why, strerror(-rc));
	pair_is_open = true;
	for (uint32_t i = 0; i < options.client_cnt; i++)
		settle(pair.clients[i], &pair.client_addr[i], &pair.hub_addr[0]);
}

static void close_pair(void)
{
	if (pair_is_open)
		backend->close(&pair);
	pair_is_open = false;
}

#define CLIENT (pair.clients[0])
#define CLIENT_ADDR (&pair.client_addr[0])
#define HUB_ADDR (&pair.hub_addr[0])

/* Arrival, order and bytes alone. */
static const struct expectation any = {.peer = NULL};

static void fill_messages(struct message *messages, uint32_t n, uint32_t len_bytes)
{
	for (uint32_t i = 0; i < n; i++)
		messages[i] = (struct message){.len_bytes = len_bytes, .seed = i};
}

#endif
