/* test_admission_turn.c: an engine with an admission before what it passes up, over the
 * simulated NIC. */
#include "first_packets.h"
#include "hosts.h"

static const struct qx_link_config lan = {.delay_ns = MS_NS};

static void send_from_client(const uint8_t *data, uint32_t len_bytes)
{
	const struct qx_send_item item = {.len_bytes = len_bytes};
	const struct qx_path path = {.peer = addrs[HOST_SERVER]};

	T_EQ(qx_send(ends[HOST_CLIENT], data, &item, 1, &path, 1), 1);
}

static void send_initial(uint64_t n)
{
	const struct initial i = {.dcid = first_cid(n), .dcid_len_bytes = CID_BYTES};
	uint8_t data[DATAGRAM_BYTES];

	send_from_client(data, initial_write(&i, data));
}

static void open_guarded(struct qx_admission_config cfg, uint32_t conn_cnt)
{
	hosts_open(lan, conn_cnt, 0);
	gate_open(cfg);
	qx_engine_set_admission(hosts[HOST_SERVER].e, gate);
}

static void close_guarded(void)
{
	hosts_close();
	qx_admission_close(gate);
	gate = NULL;
}

/* Python hears of what may begin a connection, and of nothing else. */
static void only_what_is_admitted_goes_up(void)
{
	struct qx_admission_config cfg = gate_config();
	uint8_t junk[40] = {FIXED_BIT | LONG_HEADER_BIT};

	cfg.retry_from_cnt = 3;
	open_guarded(cfg, 0);
	for (uint64_t n = 0; n < 10; n++)
		send_initial(n);
	send_from_client(junk, sizeof(junk));
	junk[0] = FIXED_BIT;
	send_from_client(junk, sizeof(junk));
	hosts_run(10 * MS_NS);
	T_EQ(hosts[HOST_SERVER].unknown_up, 3);
	T_EQ(hosts[HOST_SERVER].events, 3);
	T_EQ(gate_stats().retries_sent, 7);
	T_EQ(gate_stats().refused[QX_REFUSED_UNKNOWN], 1);
	T_EQ(gate_stats().refused[QX_REFUSED_SMALL], 1);
	/* The answers came, to whom has no admission of its own. */
	T_EQ(hosts[HOST_CLIENT].unknown_up, 7);
	close_guarded();
}

/* Handshake packets of a connection that the engine knows, and all of one that it does not
 * carry itself but somebody has told of. */
static void long_headers_of_connections_go_up_at_any_load(void)
{
	struct initial i = {.dcid_len_bytes = CID_BYTES, .len_bytes = 200};
	uint8_t data[DATAGRAM_BYTES], cid[HOST_CID_BYTES];

	open_guarded(gate_config(), 1);
	qx_admission_set_load(gate, 1000, 100, 1);
	host_cid(HOST_SERVER, 0, cid);
	i.dcid = cid;
	send_from_client(data, initial_write(&i, data));
	i.dcid = client_cid;
	T_EQ(qx_admission_know(gate, client_cid, CID_BYTES), 0);
	send_from_client(data, initial_write(&i, data));
	hosts_run(10 * MS_NS);
	T_EQ(hosts[HOST_SERVER].conns[0].datagrams_up, 1);
	T_EQ(hosts[HOST_SERVER].unknown_up, 1);
	qx_engine_set_admission(hosts[HOST_SERVER].e, NULL);
	send_initial(5);
	hosts_run(10 * MS_NS);
	T_EQ(hosts[HOST_SERVER].unknown_up, 2);
	close_guarded();
}

/* The promise that this is for. */
static void a_flood_takes_nothing_from_who_is_connected(void)
{
	uint64_t seed = 3;

	open_guarded(gate_config(), 2);
	host_write(HOST_CLIENT, 0, 0, 900000);
	host_write(HOST_SERVER, 1, 1, 900000);
	for (uint32_t ms = 0; ms < 400; ms++) {
		for (uint32_t i = 0; i < 20; i++)
			send_initial(t_random(&seed));
		hosts_run(MS_NS);
	}
	T_EQ(hosts[HOST_SERVER].conns[0].bytes, 900000);
	T_EQ(hosts[HOST_CLIENT].conns[1].bytes, 900000);
	T_EQ(host_stats(HOST_CLIENT, 0).lost_packets, 0);
	T_CHECK(gate_stats().refused[QX_REFUSED_PREFIX_RATE] > 7000);
	T_EQ(gate_stats().refused[QX_REFUSED_NO_ROOM], 0);
	close_guarded();
}

static void an_answer_without_room_is_counted_and_not_sent_later(void)
{
	struct qx_admission_config cfg = gate_config();
	struct qx_slot slots[64];
	const struct qx_path path = {.peer = addrs[HOST_CLIENT]};
	struct qx_stats st;

	cfg.retry_from_cnt = 0;
	open_guarded(cfg, 0);
	/* All frames for sending stand in a ring that the NIC does not empty. */
	qx_link_configure(link_, &(struct qx_link_config){.tx_stalled = 1 << HOST_SERVER});
	for (int got = 1; got > 0;) {
		got = qx_reserve(ends[HOST_SERVER], &path, 100, slots, 64);
		for (int i = 0; i < got; i++)
			slots[i].len_bytes = 100;
		T_EQ(qx_commit(ends[HOST_SERVER], slots, (uint32_t)got), 0);
		qx_flush(ends[HOST_SERVER]);
	}
	send_initial(1);
	qx_link_advance(link_, host_now_ns += MS_NS);
	host_turn(HOST_SERVER);
	T_EQ(gate_stats().refused[QX_REFUSED_NO_ROOM], 1);
	T_EQ(gate_stats().retries_sent, 0);
	qx_get_stats(ends[HOST_SERVER], &st);
	T_EQ(st.frames[QX_FRAME_LENT] + st.frames[QX_FRAME_BUILT], 0);
	close_guarded();
}

static void send_junk(void)
{
	static const uint8_t junk[40] = {FIXED_BIT};

	send_from_client(junk, sizeof(junk));
}

/* A turn without news is over before anybody reads its events, for hours under a flood: what
 * it took note of for them must not add up. */
static void turns_without_news_do_not_use_up_the_paths(void)
{
	open_guarded(gate_config(), 0);
	qx_link_configure(link_, &(struct qx_link_config){.delay_ns = 0});
	for (uint32_t i = 0; i < UINT16_MAX + 100; i++) {
		send_junk();
		qx_link_advance(link_, ++host_now_ns);
		T_EQ(qx_engine_turn(hosts[HOST_SERVER].e, host_now_ns, QX_NEVER_NS), 0);
	}
	T_EQ(gate_stats().refused[QX_REFUSED_UNKNOWN], UINT16_MAX + 100);
	send_initial(1);
	hosts_run(MS_NS);
	T_EQ(hosts[HOST_SERVER].unknown_up, 1);
	close_guarded();
}

/* What an event loop does: it wakes when something has come, unless that is held back, and
 * when the timer says so.  Junk comes every junk_ns.  Returns how often it woke. */
static uint32_t wakes_of(uint64_t for_ns, uint64_t junk_ns)
{
	const uint64_t until_ns = host_now_ns + for_ns;
	const struct qx_engine *e = hosts[HOST_SERVER].e;
	uint32_t wakes = 0, waiting = 0;

	for (; host_now_ns < until_ns; host_now_ns += 10000) {
		if (host_now_ns % junk_ns == 0) {
			send_junk();
			waiting++;
		}
		qx_link_advance(link_, host_now_ns);
		if ((waiting == 0 || e->holds) && host_now_ns < e->armed_ns)
			continue;
		waiting = 0;
		wakes++;
		host_turn(HOST_SERVER);
	}
	return wakes;
}

/* Waking costs several times what refusing does. */
static void a_flood_alone_wakes_us_every_two_milliseconds(void)
{
	uint32_t wakes;

	open_guarded(gate_config(), 0);
	qx_link_configure(link_, &(struct qx_link_config){.delay_ns = 0});
	wakes = wakes_of(S_NS, 50000);
	T_CHECK(wakes >= 490 && wakes <= 510);
	T_CHECK(gate_stats().refused[QX_REFUSED_UNKNOWN] >= 20000 - 40);
	close_guarded();
}

/* Whoever comes after somebody else waits a fifth of a millisecond, not two. */
static void who_comes_beside_a_flood_shortens_the_waits_for_the_next(void)
{
	uint32_t wakes;

	open_guarded(gate_config(), 0);
	qx_link_configure(link_, &(struct qx_link_config){.delay_ns = 0});
	wakes_of(10 * MS_NS, 50000);
	send_initial(1);
	wakes_of(2 * MS_NS, 50000);
	T_EQ(hosts[HOST_SERVER].unknown_up, 1);
	wakes = wakes_of(90 * MS_NS, 50000);
	T_CHECK(wakes >= 440 && wakes <= 460);
	wakes_of(10 * MS_NS, 50000);
	wakes = wakes_of(100 * MS_NS, 50000);
	T_CHECK(wakes >= 49 && wakes <= 51);
	close_guarded();
}

/* One packet every five milliseconds is no flood. */
static void a_stray_packet_now_and_then_holds_nobody_up(void)
{
	open_guarded(gate_config(), 0);
	qx_link_configure(link_, &(struct qx_link_config){.delay_ns = 0});
	T_EQ(wakes_of(S_NS, 5 * MS_NS), 200);
	T_CHECK(!hosts[HOST_SERVER].e->holds);
	close_guarded();
}

static const struct t_case cases[] = {
	{"only what is admitted goes up", only_what_is_admitted_goes_up},
	{"long headers of connections go up at any load",
	 long_headers_of_connections_go_up_at_any_load},
	{"a flood takes nothing from who is connected",
	 a_flood_takes_nothing_from_who_is_connected},
	{"an answer without room is counted and not sent later",
	 an_answer_without_room_is_counted_and_not_sent_later},
	{"turns without news do not use up the paths",
	 turns_without_news_do_not_use_up_the_paths},
	{"a flood alone wakes us every two milliseconds",
	 a_flood_alone_wakes_us_every_two_milliseconds},
	{"who comes beside a flood shortens the waits for the next",
	 who_comes_beside_a_flood_shortens_the_waits_for_the_next},
	{"a stray packet now and then holds nobody up",
	 a_stray_packet_now_and_then_holds_nobody_up},
};

int main(int argc, char **argv)
{
	t_after_each = close_guarded;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
