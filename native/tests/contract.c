/* contract.c: what every back end promises; see contract.h.
 *
 * Each test runs over IPv4 and over IPv6, on a fresh pair of endpoints, and is followed by
 * a count of open descriptors: what a test opened is closed again. */
#include "contract.h"

#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "contract_io.h"

/* Defined here, these replace libc's in the whole program: the suite counts the calls. */
static uint32_t timer_calls;

int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old)
{
	timer_calls++;
	return (int)syscall(SYS_timerfd_settime, fd, flags, value, old);
}

#define CLIENT (pair.clients[0])
#define CLIENT_ADDR (&pair.client_addr[0])
#define HUB_ADDR (&pair.hub_addr[0])

static const struct expectation any = {.peer = NULL};

static void fill_messages(struct message *messages, uint32_t n, uint32_t len_bytes)
{
	for (uint32_t i = 0; i < n; i++)
		messages[i] = (struct message){.len_bytes = len_bytes, .seed = i};
}

/* Bytes, both addresses, lane: what every user of a datagram relies on. */
static void one_datagram_arrives_each_way(void)
{
	const struct message m[] = {{.len_bytes = 1200, .seed = 5}};
	struct expectation at_hub, at_client;
	struct qx_path there, back;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	back = path_to(CLIENT_ADDR);
	at_hub = (struct expectation){.peer = CLIENT_ADDR, .local = HUB_ADDR, .lane = true};
	at_client =
		(struct expectation){.peer = HUB_ADDR, .local = CLIENT_ADDR, .lane = true};
	converse(CLIENT, &there, pair.hub, m, 1, &at_hub);
	converse(pair.hub, &back, CLIENT, m, 1, &at_client);
	T_CHECK(stats_of(CLIENT).lane[backend->lane].tx_packets >= 1);
	T_CHECK(stats_of(pair.hub).lane[backend->lane].tx_packets >= 1);
}

/* An endpoint is told the port that was picked for it. */
static void the_bound_address_is_reported(void)
{
	struct qx_addr local;

	open_pair((struct contract_options){0});
	qx_local(pair.hub, &local);
	check_addr(&local, HUB_ADDR);
	T_CHECK(local.port != 0);
}

/* Empty datagrams are legal UDP, and the longest is where off-by-ones live. */
static void all_sizes_arrive(void)
{
	struct message m[] = {{.len_bytes = 0, .seed = 1},    {.len_bytes = 1, .seed = 2},
			      {.len_bytes = 2, .seed = 3},    {.len_bytes = 1200, .seed = 4},
			      {.len_bytes = 0, .seed = 5},    {.len_bytes = 0, .seed = 6},
			      {.len_bytes = 1201, .seed = 7}, {.len_bytes = 0, .seed = 8}};
	struct qx_path there, back;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	back = path_to(CLIENT_ADDR);
	m[5].len_bytes = payload_max();
	m[7].len_bytes = payload_max() - 1;
	converse(CLIENT, &there, pair.hub, m, 8, &any);
	converse(pair.hub, &back, CLIENT, m, 8, &any);
}

static void wait_for_error(struct qx_datapath *dp, int code)
{
	struct qx_error error;

	for (int i = 0; i < ROUNDS_WITHOUT_PROGRESS; i++) {
		idle_turn(dp);
		if (qx_next_error(dp, &error)) {
			T_EQ(error.code, code);
			T_EQ(qx_next_error(dp, &error), 0);
			return;
		}
		pump();
	}
	T_FAIL("no error was reported");
}

/* One datagram that cannot be sent is reported and does not take its neighbours along. */
static void a_datagram_too_long_is_reported_and_the_rest_delivered(void)
{
	struct message m[] = {{.len_bytes = 100, .seed = 1},
			      {.len_bytes = 0, .seed = 2},
			      {.len_bytes = 200, .seed = 3}};
	const struct message sent[] = {m[0], m[2]};
	uint32_t got = 0;
	struct qx_path there;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	m[1].len_bytes = payload_max() + 1;
	T_EQ(send_some(CLIENT, &there, m, 3), 3);
	for (int i = 0; got < 2 && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		pump();
		receive(pair.hub);
		for (uint32_t k = 0; k < batch.datagram_cnt; k++) {
			T_CHECK(got < 2);
			check_datagram(&batch.datagrams[k], &sent[got++], &any);
		}
		done(pair.hub);
	}
	T_EQ(got, 2);
	wait_for_error(CLIENT, EMSGSIZE);
}

/* A caller learns before writing that no path takes so much. */
static void reserving_more_than_udp_can_carry_is_refused(void)
{
	struct qx_slot slots[2];
	struct qx_path there;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	T_EQ(qx_reserve(CLIENT, &there, QX_UDP_PAYLOAD_MAX + 1, slots, 2), -EMSGSIZE);
	T_EQ(qx_reserve(CLIENT, &there, UINT32_MAX, slots, 2), -EMSGSIZE);
	check_census(CLIENT);
}

/* Downloads are long runs of full packets; none may be lost or overtake. */
static void thousands_arrive_in_order_when_the_reader_keeps_up(void)
{
	enum {
		N = 5000
	};
	static struct message m[N];
	struct qx_path there, back;

	fill_messages(m, N, 1200);
	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	back = path_to(CLIENT_ADDR);
	converse(CLIENT, &there, pair.hub, m, N, &any);
	converse(pair.hub, &back, CLIENT, m, N, &any);
}

/* Batching by equal size (UDP_SEGMENT, UDP_GRO) must keep every boundary. */
static void boundaries_survive_batching(void)
{
	enum {
		N = 400
	};
	static struct message m[N];
	static const uint32_t pattern[] = {1200, 1200, 1200, 1200, 700, 1200, 1200, 1,
					   1,    1200, 2,    3,    5,   1200, 1199, 1201,
					   60,   60,   60,   61,   60,  1300, 1300, 100};
	struct qx_path there, back;

	fill_messages(m, N, 0);
	for (uint32_t i = 0; i < N; i++)
		m[i].len_bytes = pattern[(i * i + i / 24) % 24];
	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	back = path_to(CLIENT_ADDR);
	converse(CLIENT, &there, pair.hub, m, N, &any);
	converse(pair.hub, &back, CLIENT, m, N, &any);
}

/* Switching the kernel's batching off changes the cost, nothing else. */
static void batching_switched_off_delivers_the_same(void)
{
	enum {
		N = 100
	};
	struct message m[N];
	struct qx_path there;

	fill_messages(m, N, 1200);
	m[N - 1].len_bytes = 7;
	open_pair((struct contract_options){.flags = QX_CFG_NO_GSO | QX_CFG_NO_GRO});
	there = path_to(HUB_ADDR);
	converse(CLIENT, &there, pair.hub, m, N, &any);
}

/* One batch holds many peers; replies made from its paths reach the right ones. */
static void many_peers_interleaved_each_get_their_own(void)
{
	enum {
		N = 40
	};
	uint32_t heard[CONTRACT_CLIENT_MAX] = {0}, answered[CONTRACT_CLIENT_MAX] = {0};
	struct qx_path there;

	open_pair((struct contract_options){.client_cnt = CONTRACT_CLIENT_MAX});
	there = path_to(HUB_ADDR);
	for (uint32_t round = 0; round < N; round++)
		for (uint32_t c = 0; c < CONTRACT_CLIENT_MAX; c++) {
			struct message m = {.len_bytes = 20 + c, .seed = round};

			T_EQ(send_some(pair.clients[c], &there, &m, 1), 1);
		}
	for (uint32_t idle = 0, total = 0; total < N * CONTRACT_CLIENT_MAX; idle++) {
		struct qx_send_item items[QX_BATCH_MAX];
		uint32_t used = 0, n;

		if (idle == ROUNDS_WITHOUT_PROGRESS)
			T_FAIL("only %u datagrams arrived", total);
		pump();
		n = receive(pair.hub);
		for (uint32_t i = 0; i < n; i++) {
			const struct qx_datagram *d = &batch.datagrams[i];
			uint32_t c = d->len_bytes - 20;
			struct message m = {.len_bytes = d->len_bytes};

			T_CHECK(c < CONTRACT_CLIENT_MAX);
			check_addr(&batch.paths[d->path].peer, &pair.client_addr[c]);
			m.seed = heard[c]++;
			check_bytes(d->data, d->len_bytes, &m);
			memcpy(payload_buffer + used, d->data, d->len_bytes);
			used += d->len_bytes;
			items[i] = (struct qx_send_item){.len_bytes = d->len_bytes,
							 .path = d->path};
		}
		T_EQ(qx_send(pair.hub, payload_buffer, items, n, batch.paths, batch.path_cnt),
		     n);
		done(pair.hub);
		total += n;
		idle = n ? 0 : idle;
	}
	for (uint32_t c = 0; c < CONTRACT_CLIENT_MAX; c++) {
		for (uint32_t i = 0; i < ROUNDS_WITHOUT_PROGRESS && answered[c] < N; i++) {
			receive(pair.clients[c]);
			for (uint32_t k = 0; k < batch.datagram_cnt; k++) {
				struct message m = {.len_bytes = 20 + c,
						    .seed = answered[c]++};

				check_bytes(batch.datagrams[k].data,
					    batch.datagrams[k].len_bytes, &m);
			}
			done(pair.clients[c]);
			pump();
		}
		T_EQ(answered[c], N);
	}
}

/* QUIC's congestion control reads CE and validates ECT (RFC 9000 section 13.4). */
static void all_ecn_codepoints_travel_both_ways(void)
{
	enum {
		N = 64
	};
	struct message m[N];
	const struct expectation with_ecn = {.ecn = true};
	struct qx_path there, back;

	fill_messages(m, N, 1200);
	for (uint32_t i = 0; i < N; i++)
		m[i].ecn = (uint8_t)((i + i / 8) % 4);
	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	back = path_to(CLIENT_ADDR);
	converse(CLIENT, &there, pair.hub, m, N, &with_ecn);
	converse(pair.hub, &back, CLIENT, m, N, &with_ecn);
}

/* A server on a wildcard address must answer from the address that was asked, or the
 * client drops the answer (RFC 9000 section 9). */
static void a_reply_leaves_from_the_address_that_was_asked(void)
{
	const struct message m[] = {{.len_bytes = 300, .seed = 9}};

	if (backend->hub_address_cnt < 2)
		return; /* checked of such back ends by one_datagram_arrives_each_way */
	open_pair((struct contract_options){.wildcard = true});
	for (int round = 0; round < 3; round++)
		for (uint32_t i = 0; i < backend->hub_address_cnt; i++) {
			struct qx_path there = path_to(&pair.hub_addr[i]);
			struct qx_path back = path_to(CLIENT_ADDR);
			struct expectation at_hub = {.local = &pair.hub_addr[i]};
			struct expectation at_client = {.peer = &pair.hub_addr[i]};

			back.local = pair.hub_addr[i];
			converse(CLIENT, &there, pair.hub, m, 1, &at_hub);
			converse(pair.hub, &back, CLIENT, m, 1, &at_client);
		}
}

/* open_other opens one more endpoint beside the hub, on a port nobody uses. */
static struct qx_datapath *open_other(void)
{
	struct qx_config cfg = {.local = *HUB_ADDR, .socket_fd = -1};
	struct qx_datapath *dp = NULL;
	char why[QX_WHY_BYTES] = "";
	int rc = -EADDRINUSE;

	for (int i = 1; i <= 16 && rc == -EADDRINUSE; i++) {
		cfg.local.port = (uint16_t)(HUB_ADDR->port ^ (17 * i));
		rc = backend->open_config(&pair, &dp, &cfg, why);
	}
	if (rc < 0)
		T_FAIL("%s", why);
	return dp;
}

/* A connected endpoint's owner relies on hearing one peer only. */
static void a_connected_endpoint_hears_only_its_peer(void)
{
	const struct message wanted[] = {{.len_bytes = 50, .seed = 1}};
	const struct message stray[] = {{.len_bytes = 60, .seed = 2}};
	struct qx_datapath *other;
	struct qx_path back;

	open_pair((struct contract_options){.connected = true});
	back = path_to(CLIENT_ADDR);
	other = open_other();
	T_EQ(send_some(other, &back, stray, 1), 1);
	pump();
	converse(pair.hub, &back, CLIENT, wanted, 1, &any);
	qx_close(other);
}

/* Filling, giving back, filling in part, several reservations before one flush. */
static void reserve_commit_flush_sends_what_was_written(void)
{
	const struct message a = {.len_bytes = 1200, .seed = 1};
	const struct message b = {.len_bytes = 10, .seed = 2};
	const struct message c = {.len_bytes = 0, .seed = 3};
	const struct message *const want[] = {&a, &b, &c, &a};
	struct qx_slot slots[4];
	struct qx_path there;
	uint32_t got = 0;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	T_EQ(qx_reserve(CLIENT, &there, 1200, slots, 0), 0);
	T_EQ(qx_reserve(CLIENT, &there, 1200, slots, 4), 4);
	for (int i = 0; i < 4; i++) {
		T_CHECK(slots[i].len_bytes >= 1200);
		T_EQ(slots[i].ecn, QX_ECN_NOT_ECT);
		T_EQ(slots[i].empty, 0);
		slots[i].len_bytes = 0;
	}
	write_message(slots[0].data, &a);
	slots[0].len_bytes = 1200;
	write_message(slots[2].data, &b);
	slots[2].len_bytes = 10;
	slots[3].empty = 1;
	T_EQ(qx_commit(CLIENT, slots, 4), 0);
	check_census(CLIENT);
	T_EQ(qx_reserve(CLIENT, &there, 1200, slots, 1), 1);
	write_message(slots[0].data, &a);
	slots[0].len_bytes = 1200;
	T_EQ(qx_commit(CLIENT, slots, 1), 0);
	T_EQ(qx_flush(CLIENT), 0);
	T_EQ(qx_flush(CLIENT), 0);
	check_census(CLIENT);
	for (int i = 0; got < 4 && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		pump();
		receive(pair.hub);
		for (uint32_t k = 0; k < batch.datagram_cnt; k++) {
			T_CHECK(got < 4);
			check_datagram(&batch.datagrams[k], want[got++], &any);
		}
		done(pair.hub);
	}
	T_EQ(got, 4);
	pump();
	idle_turn(pair.hub);
	idle_turn(CLIENT);
	T_EQ(stats_of(CLIENT).frames[QX_FRAME_BUILT], 0);
}

/* A reservation that is given back costs nothing, however often. */
static void reservations_given_back_are_not_used_up(void)
{
	struct qx_slot slots[QX_BATCH_MAX];
	struct qx_path there;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	for (int round = 0; round < 200; round++) {
		int n = qx_reserve(CLIENT, &there, 1200, slots, QX_BATCH_MAX);

		T_CHECK(n > 0);
		for (int i = 0; i < n; i++)
			slots[i].len_bytes = 0;
		T_EQ(qx_commit(CLIENT, slots, (uint32_t)n), 0);
		T_EQ(qx_flush(CLIENT), 0);
		check_census(CLIENT);
	}
	pump();
	idle_turn(pair.hub);
}

/* qx_send is a shorthand: both ways of sending put the same bytes on the wire. */
static void qx_send_equals_reserve_and_commit(void)
{
	struct message m[] = {{.len_bytes = 900, .seed = 1, .ecn = QX_ECN_ECT0},
			      {.len_bytes = 900, .seed = 2, .ecn = QX_ECN_ECT0},
			      {.len_bytes = 33, .seed = 3, .ecn = QX_ECN_CE}};
	struct expectation strict;
	struct qx_slot slots[3];
	struct qx_path there;
	uint32_t got = 0;

	open_pair((struct contract_options){0});
	strict = (struct expectation){
		.ecn = true, .lane = true, .peer = CLIENT_ADDR, .local = HUB_ADDR};
	there = path_to(HUB_ADDR);
	T_EQ(qx_reserve(CLIENT, &there, 900, slots, 3), 3);
	for (int i = 0; i < 3; i++) {
		write_message(slots[i].data, &m[i]);
		slots[i].len_bytes = m[i].len_bytes;
		slots[i].ecn = m[i].ecn;
	}
	T_EQ(qx_commit(CLIENT, slots, 3), 0);
	T_EQ(qx_flush(CLIENT), 0);
	T_EQ(send_some(CLIENT, &there, m, 3), 3);
	for (int i = 0; got < 6 && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		pump();
		receive(pair.hub);
		for (uint32_t k = 0; k < batch.datagram_cnt; k++)
			check_datagram(&batch.datagrams[k], &m[got++ % 3], &strict);
		done(pair.hub);
	}
	T_EQ(got, 6);
}

/* A sender that outruns the link is told so, keeps every frame, and works again after. */
static void sending_more_than_fits_loses_no_frame(void)
{
	enum {
		N = 4000
	};
	static struct message m[N];
	const struct message after[] = {{.len_bytes = 77, .seed = 77}};
	struct qx_path there;
	uint32_t taken = 0, quiet = 0;

	fill_messages(m, N, 1000);
	open_pair((struct contract_options){.rx_frame_cnt = 512, .tx_frame_cnt = 256});
	there = path_to(HUB_ADDR);
	for (int i = 0; i < 100 && taken < N; i++) {
		uint32_t n = send_some(CLIENT, &there, m + taken, N - taken);

		taken += n;
		T_CHECK(qx_flush(CLIENT) >= 0);
		check_census(CLIENT);
		if (n == 0)
			break;
	}
	T_CHECK(taken >= 256);
	/* Whatever was taken leaves; the reader sees a prefix-ordered part of it. */
	for (int i = 0; quiet < 20 && i < 10 * ROUNDS_WITHOUT_PROGRESS; i++) {
		T_CHECK(qx_flush(CLIENT) >= 0);
		pump();
		quiet = receive(pair.hub) ? 0 : quiet + 1;
		done(pair.hub);
		idle_turn(CLIENT);
	}
	T_EQ(qx_flush(CLIENT), 0);
	T_EQ(stats_of(CLIENT).frames[QX_FRAME_TX], 0);
	T_EQ(stats_of(CLIENT).frames[QX_FRAME_BUILT], 0);
	converse(CLIENT, &there, pair.hub, after, 1, &any);
}

/* A full batch is not the end: a reader that calls again gets the rest, in order. */
static void more_than_a_batch_is_handed_out_in_several(void)
{
	enum {
		N = QX_BATCH_MAX + 44
	};
	static struct message m[N];
	struct qx_path there;
	uint32_t sent = 0, got = 0;

	fill_messages(m, N, 16);
	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	for (int i = 0; sent < N && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		sent += send_some(CLIENT, &there, m + sent,
				  N - sent < BURST_DATAGRAMS ? N - sent : BURST_DATAGRAMS);
		pump();
		idle_turn(CLIENT);
	}
	T_EQ(sent, N);
	for (int i = 0; got < N && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		receive(pair.hub);
		for (uint32_t k = 0; k < batch.datagram_cnt; k++)
			check_datagram(&batch.datagrams[k], &m[got++], &any);
		done(pair.hub);
		pump();
	}
	T_EQ(got, N);
}

/* An event loop sleeps on qx_fd: readable too late hangs, readable too long spins. */
static void qx_fd_is_readable_exactly_when_something_waits(void)
{
	const struct message m[] = {{.len_bytes = 30, .seed = 1}};
	struct qx_path there;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	quiesce(pair.hub);
	quiesce(CLIENT);
	for (int round = 0; round < 3; round++) {
		T_CHECK(!readable(pair.hub));
		T_CHECK(!readable(CLIENT));
		T_EQ(send_some(CLIENT, &there, m, 1), 1);
		for (int i = 0; !readable(pair.hub) && i < ROUNDS_WITHOUT_PROGRESS; i++)
			pump();
		T_CHECK(readable(pair.hub));
		T_CHECK(readable(pair.hub));
		T_EQ(receive(pair.hub), 1);
		done(pair.hub);
		T_CHECK(!readable(pair.hub));
		idle_turn(CLIENT);
	}
}

/* QUIC's timers stand on qx_arm; re-arming per packet must cost nothing. */
static void qx_arm_fires_disarms_and_is_free_when_unchanged(void)
{
	const uint64_t hour_ns = 3600ull * 1000000000ull;
	uint64_t now_ns;
	uint32_t calls;

	open_pair((struct contract_options){0});
	quiesce(pair.hub);
	now_ns = backend->now(&pair);
	T_CHECK(!readable(pair.hub));
	T_EQ(qx_arm(pair.hub, now_ns > 1 ? now_ns - 1 : 0), 0);
	if (!backend->virtual_time)
		T_CHECK(readable(pair.hub));
	idle_turn(pair.hub);
	T_CHECK(!readable(pair.hub));

	T_EQ(qx_arm(pair.hub, now_ns + hour_ns), 0);
	T_CHECK(!readable(pair.hub));
	calls = timer_calls;
	for (int i = 0; i < 100; i++)
		T_EQ(qx_arm(pair.hub, now_ns + hour_ns), 0);
	T_EQ(timer_calls, calls);
	T_EQ(qx_arm(pair.hub, UINT64_MAX), 0);
	T_CHECK(timer_calls <= calls + 1);
	calls = timer_calls;
	T_EQ(qx_arm(pair.hub, UINT64_MAX), 0);
	T_EQ(timer_calls, calls);
	T_CHECK(!readable(pair.hub));

	if (!backend->virtual_time) {
		struct pollfd p = {.fd = qx_fd(pair.hub), .events = POLLIN};

		now_ns = backend->now(&pair);
		T_EQ(qx_arm(pair.hub, now_ns + 2000000), 0);
		T_EQ(poll(&p, 1, 10000), 1);
		T_CHECK(backend->now(&pair) >= now_ns + 2000000);
		idle_turn(pair.hub);
		T_CHECK(!readable(pair.hub));
	}
}

/* Metrics are worth nothing if they do not add up. */
static void statistics_add_up(void)
{
	enum {
		N = 500
	};
	static struct message m[N];
	struct qx_stats from_0, from_1, to_0, to_1;
	uint64_t bytes = 0, tx = 0, rx = 0, tx_bytes = 0, rx_bytes = 0;
	struct qx_path there;

	fill_messages(m, N, 0);
	for (uint32_t i = 0; i < N; i++)
		bytes += m[i].len_bytes = 1 + i * 2;
	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	from_0 = stats_of(CLIENT);
	to_0 = stats_of(pair.hub);
	converse(CLIENT, &there, pair.hub, m, N, &any);
	from_1 = stats_of(CLIENT);
	to_1 = stats_of(pair.hub);
	for (int lane = 0; lane < QX_LANE_CNT; lane++) {
		tx += from_1.lane[lane].tx_packets - from_0.lane[lane].tx_packets;
		tx_bytes += from_1.lane[lane].tx_bytes - from_0.lane[lane].tx_bytes;
		rx += to_1.lane[lane].rx_packets - to_0.lane[lane].rx_packets;
		rx_bytes += to_1.lane[lane].rx_bytes - to_0.lane[lane].rx_bytes;
	}
	T_EQ(tx, N);
	T_EQ(rx, N);
	T_EQ(tx_bytes, bytes);
	T_EQ(rx_bytes, bytes);
	T_EQ(from_1.lane[backend->lane].tx_packets - from_0.lane[backend->lane].tx_packets,
	     N);
	T_EQ(drops_except(&from_1, QX_DROP_NONE), 0);
	T_EQ(drops_except(&to_1, QX_DROP_NONE), 0);
	if (backend->lane == QX_LANE_XDP) {
		T_EQ(from_1.completion_ring_produced - from_0.completion_ring_produced, N);
		T_EQ(to_1.rx_ring_produced - to_0.rx_ring_produced, N);
	} else {
		T_EQ(to_1.rx_ring_produced, 0);
	}
}

/* The point of batching: system calls are counted, not timed. */
static void a_system_call_moves_at_least_24_packets(void)
{
	enum {
		N = 24 * 100,
		AT_ONCE = QX_BATCH_MAX / 2
	};
	static struct message m[N];
	struct qx_lane_stats tx_0, tx_1, rx_0, rx_1;
	struct qx_path there;
	uint32_t sent = 0, got = 0;

	fill_messages(m, N, 1200);
	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	tx_0 = stats_of(CLIENT).lane[backend->lane];
	rx_0 = stats_of(pair.hub).lane[backend->lane];
	for (int i = 0; got < N && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		uint32_t n = N - sent < AT_ONCE ? N - sent : AT_ONCE;

		sent += send_some(CLIENT, &there, m + sent, n);
		while (got < sent && i++ < ROUNDS_WITHOUT_PROGRESS) {
			pump();
			got += receive(pair.hub);
			done(pair.hub);
		}
	}
	T_EQ(got, N);
	tx_1 = stats_of(CLIENT).lane[backend->lane];
	rx_1 = stats_of(pair.hub).lane[backend->lane];
	T_CHECK(tx_1.tx_syscalls - tx_0.tx_syscalls <= N / 24);
	T_CHECK(rx_1.rx_syscalls - rx_0.rx_syscalls <= N / 24);
}

/* Applications close when they like; descriptors are counted after every test, memory by
 * the address sanitizer. */
static void closing_with_lent_and_queued_datagrams_leaks_nothing(void)
{
	const struct message m[] = {{.len_bytes = 100, .seed = 1},
				    {.len_bytes = 100, .seed = 2}};
	struct qx_slot slots[8];
	struct qx_path there, back;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	back = path_to(CLIENT_ADDR);
	T_EQ(send_some(CLIENT, &there, m, 2), 2);
	for (int i = 0; !readable(pair.hub) && i < ROUNDS_WITHOUT_PROGRESS; i++)
		pump();
	T_CHECK(receive(pair.hub) >= 1);
	T_EQ(qx_reserve(pair.hub, &back, 100, slots, 8), 8);
	for (int i = 0; i < 8; i++) {
		memset(slots[i].data, 1, 100);
		slots[i].len_bytes = 100;
	}
	T_EQ(qx_commit(pair.hub, slots, 8), 0);
	check_census(pair.hub);
	qx_close(pair.hub);
	pair.hub = NULL;
	/* The other end may send into the void for a while. */
	T_CHECK(send_some(CLIENT, &there, m, 2) <= 2);
	pump();
}

static void refused(const struct qx_config *cfg, int code)
{
	struct qx_datapath *dp = NULL;
	char why[QX_WHY_BYTES];
	int rc;

	memset(why, 'x', sizeof(why));
	rc = backend->open_config(&pair, &dp, cfg, why);
	if (rc == 0)
		qx_close(dp);
	T_EQ(rc, code);
	T_CHECK(memchr(why, 0, sizeof(why)) != NULL);
	T_CHECK(strlen(why) >= 10);
	T_CHECK(why[0] != 'x');
}

/* A person must be able to act on a failed open, so it says why in a sentence. */
static void open_errors_explain_themselves(void)
{
	struct qx_config cfg = {.socket_fd = -1};

	open_pair((struct contract_options){0});
	cfg.local = *HUB_ADDR;
	refused(&cfg, -EADDRINUSE);

	cfg.local.port++;
	cfg.local.family = 9;
	refused(&cfg, -EINVAL);

	cfg.local = *HUB_ADDR;
	cfg.local.port++;
	cfg.remote = *CLIENT_ADDR;
	cfg.remote.family = family == QX_IPV4 ? QX_IPV6 : QX_IPV4;
	cfg.flags = QX_CFG_V6ONLY;
	refused(&cfg, -EINVAL);
}

static const struct t_case cases[] = {
	{"one datagram arrives each way", one_datagram_arrives_each_way},
	{"the bound address is reported", the_bound_address_is_reported},
	{"all sizes arrive", all_sizes_arrive},
	{"a datagram too long is reported and the rest delivered",
	 a_datagram_too_long_is_reported_and_the_rest_delivered},
	{"reserving more than UDP can carry is refused",
	 reserving_more_than_udp_can_carry_is_refused},
	{"thousands arrive in order when the reader keeps up",
	 thousands_arrive_in_order_when_the_reader_keeps_up},
	{"boundaries survive batching", boundaries_survive_batching},
	{"batching switched off delivers the same", batching_switched_off_delivers_the_same},
	{"many peers interleaved each get their own",
	 many_peers_interleaved_each_get_their_own},
	{"all ECN codepoints travel both ways", all_ecn_codepoints_travel_both_ways},
	{"a reply leaves from the address that was asked",
	 a_reply_leaves_from_the_address_that_was_asked},
	{"a connected endpoint hears only its peer",
	 a_connected_endpoint_hears_only_its_peer},
	{"reserve, commit, flush sends what was written",
	 reserve_commit_flush_sends_what_was_written},
	{"reservations given back are not used up", reservations_given_back_are_not_used_up},
	{"qx_send equals reserve and commit", qx_send_equals_reserve_and_commit},
	{"sending more than fits loses no frame", sending_more_than_fits_loses_no_frame},
	{"more than a batch is handed out in several",
	 more_than_a_batch_is_handed_out_in_several},
	{"qx_fd is readable exactly when something waits",
	 qx_fd_is_readable_exactly_when_something_waits},
	{"qx_arm fires, disarms and is free when unchanged",
	 qx_arm_fires_disarms_and_is_free_when_unchanged},
	{"statistics add up", statistics_add_up},
	{"a system call moves at least 24 packets", a_system_call_moves_at_least_24_packets},
	{"closing with lent and queued datagrams leaks nothing",
	 closing_with_lent_and_queued_datagrams_leaks_nothing},
	{"open errors explain themselves", open_errors_explain_themselves},
};

static bool run_case(const struct t_case *c)
{
	volatile bool ok = false;
	int fds = open_fds();

	if (setjmp(t_failed) == 0) {
		c->run();
		ok = true;
	}
	close_pair();
	if (ok && open_fds() != fds) {
		printf("  descriptors leaked: %d before, %d after\n", fds, open_fds());
		ok = false;
	}
	printf("%s %s, IPv%d: %s\n", ok ? "ok  " : "FAIL", backend->name, family, c->name);
	return ok;
}

int contract_main(const struct contract_backend *use, int argc, char **argv)
{
	static const uint8_t families[] = {QX_IPV4, QX_IPV6};
	char why[QX_WHY_BYTES] = "";
	int failed = 0, ran = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	backend = use;
	if (backend->setup && backend->setup(why) < 0)
		T_SKIP_PROGRAM("%s: %s", backend->name, why);
	for (size_t f = 0; f < 2; f++)
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			if (argc > 1 && !strstr(cases[i].name, argv[1]))
				continue;
			family = families[f];
			ran++;
			failed += !run_case(&cases[i]);
		}
	if (backend->teardown)
		backend->teardown();
	printf("%d passed, %d failed\n", ran - failed, failed);
	return failed || !ran;
}
