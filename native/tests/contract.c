/* contract.c: what every back end promises; see contract.h.
 *
 * Each test runs over IPv4 and over IPv6, on a fresh pair of endpoints, and is followed by
 * a count of open descriptors: what a test opened is closed again. */
#include "contract.h"

#include "contract_arrive.h"
#include "contract_io.h"
#include "contract_send.h"

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
	calls = platform_timer_calls();
	for (int i = 0; i < 100; i++)
		T_EQ(qx_arm(pair.hub, now_ns + hour_ns), 0);
	T_EQ(platform_timer_calls(), calls);
	T_EQ(qx_arm(pair.hub, UINT64_MAX), 0);
	T_CHECK(platform_timer_calls() <= calls + 1);
	calls = platform_timer_calls();
	T_EQ(qx_arm(pair.hub, UINT64_MAX), 0);
	T_EQ(platform_timer_calls(), calls);
	T_CHECK(!readable(pair.hub));

	if (!backend->virtual_time) {
		now_ns = backend->now(&pair);
		T_EQ(qx_arm(pair.hub, now_ns + 2000000), 0);
		T_CHECK(platform_readable(pair.hub, 10000));
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
			uint32_t now;

			pump();
			now = receive(pair.hub);
			done(pair.hub);
			got += now;
			i = now ? 0 : i;
		}
	}
	T_EQ(got, N);
	tx_1 = stats_of(CLIENT).lane[backend->lane];
	rx_1 = stats_of(pair.hub).lane[backend->lane];
	if (backend->no_batching) {
		/* One each, and now and then one that finds nothing left. */
		T_CHECK(tx_1.tx_syscalls - tx_0.tx_syscalls <= N);
		T_CHECK(rx_1.rx_syscalls - rx_0.rx_syscalls <= N + N / 24);
		return;
	}
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
	{"a denied source is dropped and counted", a_denied_source_is_dropped_and_counted},
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

/* What a back end has too few addresses for is neither passed nor failed. */
static bool leave_out(const struct t_case *c)
{
	uint32_t cnt =
		family == QX_IPV4 ? backend->hub_address_cnt_v4 : backend->hub_address_cnt_v6;

	if (c->run != a_reply_leaves_from_the_address_that_was_asked ||
	    cnt >= CONTRACT_HUB_ADDRESS_MAX)
		return false;
	printf("left out, %s, IPv%d: %s (there is one address)\n", backend->name, family,
	       c->name);
	return true;
}

static bool run_case(const struct t_case *c)
{
	volatile bool ok = false;
	int handles = platform_open_handles();

	if (setjmp(t_failed) == 0) {
		c->run();
		ok = true;
	}
	close_pair();
	if (ok && platform_open_handles() != handles) {
		printf("  descriptors leaked: %d before, %d after\n", handles,
		       platform_open_handles());
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
			if (leave_out(&cases[i]))
				continue;
			ran++;
			failed += !run_case(&cases[i]);
		}
	if (backend->teardown)
		backend->teardown();
	printf("%d passed, %d failed\n", ran - failed, failed);
	return failed || !ran;
}
