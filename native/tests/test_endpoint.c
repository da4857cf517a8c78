/* test_endpoint.c: engines over the simulated NIC: batches, order, fairness, deadlines. */
#include "counting.h"
#include "frame.h"
#include "hosts.h"

static const struct qx_link_config lan = {.delay_ns = MS_NS};

static void several_connections_transfer_both_ways(void)
{
	enum {
		CONNS = 8,
		BYTES = 300000
	};

	hosts_open(lan, CONNS, 0);
	for (uint32_t i = 0; i < CONNS; i++) {
		host_write(HOST_CLIENT, i, 0, BYTES);
		host_write(HOST_CLIENT, i, 4, BYTES);
		host_write(HOST_SERVER, i, 1, BYTES);
	}
	hosts_run(5 * S_NS);
	for (uint32_t i = 0; i < CONNS; i++) {
		T_EQ(hosts[HOST_SERVER].conns[i].bytes, 2 * BYTES);
		T_EQ(hosts[HOST_CLIENT].conns[i].bytes, BYTES);
		T_EQ(host_stats(HOST_CLIENT, i).undecryptable, 0);
		T_EQ(host_stats(HOST_SERVER, i).up_packets, 0);
	}
	/* Quiet connections have no deadlines. */
	T_EQ(qx_engine_deadline(hosts[HOST_CLIENT].e), QX_NEVER_NS);
	T_EQ(qx_engine_deadline(hosts[HOST_SERVER].e), QX_NEVER_NS);
	hosts_close();
}

static void a_bad_link_loses_nothing(void)
{
	const struct qx_link_config bad = {.seed = 7,
					   .delay_ns = 5 * MS_NS,
					   .reorder_delay_ns = 4 * MS_NS,
					   .rate_bytes_per_s = 2000000,
					   .loss_ppm = 30000,
					   .duplicate_ppm = 20000,
					   .reorder_ppm = 30000};

	hosts_open(bad, 4, 0);
	for (uint32_t i = 0; i < 4; i++) {
		host_write(HOST_CLIENT, i, 0, 200000);
		host_write(HOST_SERVER, i, 1, 200000);
	}
	hosts_run(120 * S_NS);
	for (uint32_t i = 0; i < 4; i++) {
		T_EQ(hosts[HOST_SERVER].conns[i].bytes, 200000);
		T_EQ(hosts[HOST_CLIENT].conns[i].bytes, 200000);
		T_CHECK(hosts[HOST_SERVER].conns[i].fin && hosts[HOST_CLIENT].conns[i].fin);
		T_EQ(host_stats(HOST_SERVER, i).in_flight_bytes, 0);
	}
	hosts_close();
}

/* Each gets its share of a slow link at every moment, not only in the end. */
static void connections_share_fairly(void)
{
	enum {
		CONNS = 4
	};
	const struct qx_link_config slow = {.delay_ns = MS_NS, .rate_bytes_per_s = 10000000};
	uint64_t least = UINT64_MAX, most = 0;

	hosts_open(slow, CONNS, 0);
	for (uint32_t i = 0; i < CONNS; i++)
		host_write(HOST_CLIENT, i, 0, 50000000);
	hosts_run(2 * S_NS);
	for (uint32_t i = 0; i < CONNS; i++) {
		const uint64_t bytes = hosts[HOST_SERVER].conns[i].bytes;

		least = bytes < least ? bytes : least;
		most = bytes > most ? bytes : most;
	}
	T_CHECK(least > 2000000);
	T_CHECK(most < 2 * least);
	hosts_close();
}

/* With fewer frames than the windows would fill, a flush visits everybody all the same. */
static void a_full_ring_starves_nobody(void)
{
	enum {
		CONNS = 4
	};

	hosts_open(lan, CONNS, 0);
	qx_link_configure(link_,
			  &(struct qx_link_config){.delay_ns = MS_NS, .tx_stalled = 1});
	for (uint32_t i = 0; i < CONNS; i++) {
		/* Windows far larger than the ring. */
		qx_conn_set_rtt(hosts[HOST_CLIENT].conns[i].c, MS_NS, MS_NS, MS_NS, MS_NS);
		hosts[HOST_CLIENT].conns[i].c->recovery.cc.cwnd_bytes = 100000000;
		host_write(HOST_CLIENT, i, 0, 900000);
	}
	while (host_turn(HOST_CLIENT) == 0)
		qx_link_advance(link_, host_now_ns += MS_NS);
	/* Waiting for room is no deadline in the past. */
	T_EQ(host_turn(HOST_CLIENT), 1);
	T_CHECK(qx_engine_deadline(hosts[HOST_CLIENT].e) > host_now_ns);
	qx_link_configure(link_, &lan);
	hosts_run(2 * S_NS);
	for (uint32_t i = 0; i < CONNS; i++)
		T_EQ(hosts[HOST_SERVER].conns[i].bytes, 900000);
	hosts_close();
}

/* A peer with keys that breaks the rules, or sends what costs much, harms its own connection
 * alone: the others get all their data, and their share. */
static void a_hostile_connection_takes_nothing_from_the_others(void)
{
	enum {
		CONNS = 4
	};
	static const uint8_t unknown[] = {0x1f, 0}, reset_of_ours[] = {0x04, 3, 0, 0};
	const uint8_t challenge[9] = {0x1a, 1, 2, 3, 4, 5, 6, 7, 8};

	hosts_open(lan, CONNS, 0);
	for (uint32_t i = 0; i < CONNS; i++) {
		host_write(HOST_CLIENT, i, 0, 900000);
		host_write(HOST_SERVER, i, 1, 900000);
	}
	/* Hundreds of frames for aioquic in each packet, then what ends the connection. */
	for (uint32_t turn = 0; turn < 50; turn++) {
		struct qx_conn *c = hosts[HOST_CLIENT].conns[0].c;

		for (uint32_t i = 0; i < 500; i++)
			qx_conn_push_control(c, challenge, sizeof(challenge), 0, 0);
		if (turn == 40) {
			T_EQ(qx_conn_push_control(c, reset_of_ours, 4, 0, QX_CTL_URGENT), 0);
			T_EQ(qx_conn_push_control(c, unknown, 2, 0, QX_CTL_URGENT), 0);
		}
		hosts_run(MS_NS);
	}
	hosts_run(5 * S_NS);
	T_EQ(hosts[HOST_SERVER].conns[0].errors, 1);
	T_CHECK(hosts[HOST_SERVER].conns[0].ups > 40);
	for (uint32_t i = 1; i < CONNS; i++) {
		T_EQ(hosts[HOST_SERVER].conns[i].bytes, 900000);
		T_EQ(hosts[HOST_CLIENT].conns[i].bytes, 900000);
		T_EQ(hosts[HOST_SERVER].conns[i].errors, 0);
		T_EQ(host_stats(HOST_SERVER, i).lost_packets, 0);
	}
	hosts_close();
}

/* ---- Who gets a datagram, and in what order ---- */

static void send_raw(const void *data, uint32_t len_bytes)
{
	const struct qx_send_item item = {.len_bytes = len_bytes};
	const struct qx_path path = {.peer = addrs[HOST_SERVER]};

	T_EQ(qx_send(ends[HOST_CLIENT], data, &item, 1, &path, 1), 1);
}

static void send_long_header(uint32_t number)
{
	uint8_t packet[100] = {0xc0, 0, 0, 0, 1, HOST_CID_BYTES};

	host_cid(HOST_SERVER, number, packet + 6);
	send_raw(packet, sizeof(packet));
}

static void deliver(void)
{
	qx_link_advance(link_, host_now_ns += MS_NS);
	host_turn(HOST_SERVER);
}

static void after_a_long_header_all_goes_up_in_order(void)
{
	struct host_conn *one = &hosts[HOST_SERVER].conns[0];
	struct host_conn *other = &hosts[HOST_SERVER].conns[1];

	hosts_open(lan, 2, 0);
	host_write(HOST_CLIENT, 0, 0, 100);
	qx_engine_flush(hosts[HOST_CLIENT].e, host_now_ns);
	send_long_header(0);
	host_write(HOST_CLIENT, 0, 4, 100);
	host_write(HOST_CLIENT, 1, 0, 100);
	qx_engine_flush(hosts[HOST_CLIENT].e, host_now_ns);
	deliver();
	T_EQ(one->bytes, 100);
	T_EQ(one->datagrams_up, 2);
	T_EQ(other->bytes, 100);
	T_EQ(other->datagrams_up, 0);
	/* In the next batch the engine opens again. */
	host_write(HOST_CLIENT, 0, 8, 100);
	qx_engine_flush(hosts[HOST_CLIENT].e, host_now_ns);
	deliver();
	T_EQ(one->bytes, 200);
	T_EQ(one->datagrams_up, 2);
	hosts_close();
}

static void what_no_connection_is_known_for_goes_up(void)
{
	static const uint8_t tiny[] = {0x40, 1, 2};
	uint8_t other[100] = {0x40, 'x'};

	hosts_open(lan, 1, 0);
	send_raw(tiny, sizeof(tiny));
	send_raw(other, sizeof(other));
	other[0] = 0xc0;
	other[5] = 20;
	send_raw(other, sizeof(other));
	send_raw(other, 1);
	deliver();
	T_EQ(hosts[HOST_SERVER].unknown_up, 4);
	hosts_close();
}

static void without_keys_datagrams_go_up(void)
{
	hosts_open(lan, 1, 0);
	host_open(HOST_SERVER, 1, 0);
	host_open(HOST_CLIENT, 1, 0);
	host_set_keys(HOST_CLIENT, 1);
	host_write(HOST_CLIENT, 1, 0, 100);
	qx_engine_flush(hosts[HOST_CLIENT].e, host_now_ns);
	deliver();
	T_EQ(hosts[HOST_SERVER].conns[1].datagrams_up, 1);
	T_EQ(hosts[HOST_SERVER].conns[1].bytes, 0);
	/* A connection ID that is no longer ours. */
	{
		uint8_t cid[HOST_CID_BYTES];

		host_cid(HOST_SERVER, 0, cid);
		qx_conn_remove_cid(hosts[HOST_SERVER].conns[0].c, cid, sizeof(cid));
	}
	host_write(HOST_CLIENT, 0, 0, 100);
	qx_engine_flush(hosts[HOST_CLIENT].e, host_now_ns);
	deliver();
	T_EQ(hosts[HOST_SERVER].unknown_up, 1);
	hosts_close();
}

static void another_address_is_told(void)
{
	struct qx_path elsewhere = {.peer = {.family = QX_IPV4, .port = 999}};

	hosts_open(lan, 1, 0);
	/* The server thinks that its client is elsewhere: the packet is handled, and told. */
	qx_conn_set_path(hosts[HOST_SERVER].conns[0].c, &elsewhere);
	host_write(HOST_CLIENT, 0, 0, 100);
	qx_engine_flush(hosts[HOST_CLIENT].e, host_now_ns);
	deliver();
	T_EQ(hosts[HOST_SERVER].conns[0].bytes, 100);
	T_EQ(hosts[HOST_SERVER].conns[0].ups, 1);
	T_CHECK(hosts[HOST_SERVER].conns[0].up_flags & QX_EV_NEW_PATH);
	hosts_close();

	/* A client takes nothing from unknown servers before aioquic has looked. */
	hosts_open(lan, 1, 0);
	qx_conn_set_path(hosts[HOST_CLIENT].conns[0].c, &elsewhere);
	host_write(HOST_SERVER, 0, 1, 100);
	qx_engine_flush(hosts[HOST_SERVER].e, host_now_ns);
	qx_link_advance(link_, host_now_ns += MS_NS);
	host_turn(HOST_CLIENT);
	T_EQ(hosts[HOST_CLIENT].conns[0].bytes, 0);
	T_EQ(hosts[HOST_CLIENT].conns[0].datagrams_up, 1);
	hosts_close();
}

static void a_closed_connections_packets_are_dropped(void)
{
	hosts_open(lan, 1, 0);
	qx_conn_teardown(hosts[HOST_SERVER].conns[0].c, QX_EPOCH_ONE_RTT, 0);
	host_write(HOST_CLIENT, 0, 0, 100);
	qx_engine_flush(hosts[HOST_CLIENT].e, host_now_ns);
	deliver();
	T_EQ(hosts[HOST_SERVER].events, 0);
	hosts_close();
}

/* A connection closed in the middle of everything is in no list any more. */
static void connections_close_at_any_time(void)
{
	hosts_open(lan, 8, 0);
	for (uint32_t i = 0; i < 8; i++) {
		host_write(HOST_CLIENT, i, 0, 1000000);
		host_write(HOST_SERVER, i, 1, 1000000);
	}
	for (uint32_t i = 0; i < 8; i++) {
		hosts_run(3 * MS_NS);
		for (uint32_t host = 0; host < 2; host++) {
			if (i % 3 == host)
				continue;
			qx_conn_close(hosts[host].conns[i].c);
			hosts[host].conns[i].c = NULL;
		}
	}
	hosts_run(10 * S_NS);
	T_EQ(hosts[HOST_CLIENT].e->conn_cnt, 3);
	hosts_close();
}

/* ---- Paths, ECN, time ---- */

static void an_interface_with_a_smaller_mtu_gets_smaller_datagrams(void)
{
	hosts_open((struct qx_link_config){.delay_ns = MS_NS, .mtu_bytes = 1300}, 1, 0);
	host_write(HOST_CLIENT, 0, 0, 100000);
	hosts_run(S_NS);
	T_EQ(hosts[HOST_SERVER].conns[0].bytes, 100000);
	T_EQ(host_stats(HOST_CLIENT, 0).lost_packets, 0);
	hosts_close();
}

static void without_a_path_nothing_is_sent_and_nothing_spins(void)
{
	const struct qx_path nowhere = {.peer = {.family = QX_IPV6, .port = 1}};

	hosts_open(lan, 1, 0);
	qx_conn_set_path(hosts[HOST_CLIENT].conns[0].c, &nowhere);
	host_write(HOST_CLIENT, 0, 0, 100);
	hosts_run(S_NS);
	T_EQ(hosts[HOST_SERVER].conns[0].bytes, 0);
	T_EQ(qx_engine_deadline(hosts[HOST_CLIENT].e), QX_NEVER_NS);
	qx_conn_set_path(hosts[HOST_CLIENT].conns[0].c,
			 &(struct qx_path){.peer = addrs[HOST_SERVER]});
	hosts_run(S_NS);
	T_EQ(hosts[HOST_SERVER].conns[0].bytes, 100);
	hosts_close();
}

static void congestion_marks_shrink_the_window(void)
{
	struct qx_link_config marking = {.seed = 3, .delay_ns = MS_NS, .ce_ppm = 20000};
	struct qx_conn_stats st;

	hosts_open(marking, 1, QX_CONN_ECN);
	host_write(HOST_CLIENT, 0, 0, 2000000);
	hosts_run(5 * S_NS);
	T_EQ(hosts[HOST_SERVER].conns[0].bytes, 2000000);
	st = host_stats(HOST_SERVER, 0);
	T_CHECK(st.ecn_rx[QX_ECN_ECT0] > 0 && st.ecn_rx[QX_ECN_CE] > 0);
	st = host_stats(HOST_CLIENT, 0);
	T_EQ(st.lost_packets, 0);
	T_CHECK(st.ecn_tx_acked[QX_ECN_CE] > 0);
	T_CHECK(st.ssthresh_bytes != UINT64_MAX);
	hosts_close();

	hosts_open(marking, 1, 0);
	host_write(HOST_CLIENT, 0, 0, 200000);
	hosts_run(S_NS);
	T_EQ(host_stats(HOST_SERVER, 0).ecn_rx[QX_ECN_ECT0], 0);
	hosts_close();
}

static void deadlines_come_due_without_packets(void)
{
	uint64_t deadline_ns;

	hosts_open((struct qx_link_config){.delay_ns = MS_NS, .loss_ppm = 1000000}, 2, 0);
	host_write(HOST_CLIENT, 0, 0, 100);
	host_turn(HOST_CLIENT);
	deadline_ns = qx_engine_deadline(hosts[HOST_CLIENT].e);
	T_CHECK(deadline_ns > host_now_ns && deadline_ns != QX_NEVER_NS);
	host_now_ns += MS_NS;
	host_write(HOST_CLIENT, 1, 0, 100);
	host_turn(HOST_CLIENT);
	T_EQ(qx_engine_deadline(hosts[HOST_CLIENT].e), deadline_ns);
	host_now_ns = deadline_ns;
	host_turn(HOST_CLIENT);
	T_EQ(host_stats(HOST_CLIENT, 0).ptos, 1);
	T_EQ(host_stats(HOST_CLIENT, 1).ptos, 0);
	T_EQ(qx_engine_deadline(hosts[HOST_CLIENT].e), deadline_ns + MS_NS);
	hosts_close();
}

/* ---- Memory ---- */

/* Runs four uploads, warm, for half a second.  Returns how often memory was asked for. */
static uint64_t allocations_of_uploads(uint32_t loss_ppm, uint64_t *packets, uint64_t *lost)
{
	uint64_t before;

	hosts_open((struct qx_link_config){.seed = 5,
					   .delay_ns = MS_NS,
					   .rate_bytes_per_s = 20000000,
					   .loss_ppm = loss_ppm},
		   4, 0);
	for (uint32_t i = 0; i < 4; i++) {
		hosts[HOST_CLIENT].conns[i].c->recovery.cc.ssthresh_bytes = 20000;
		host_write(HOST_CLIENT, i, 0, 20000000);
	}
	hosts_run(S_NS);
	before = counting_allocations;
	*packets = *lost = 0;
	for (uint32_t i = 0; i < 4; i++)
		*packets -= host_stats(HOST_CLIENT, i).tx_packets;
	hosts_run(S_NS / 2);
	before = counting_allocations - before;
	for (uint32_t i = 0; i < 4; i++) {
		T_CHECK(hosts[HOST_SERVER].conns[i].bytes < 20000000);
		*packets += host_stats(HOST_CLIENT, i).tx_packets;
		*lost += host_stats(HOST_CLIENT, i).lost_packets;
	}
	hosts_close();
	return before;
}

static void the_steady_state_allocates_nothing(void)
{
	uint64_t packets, lost;

	T_EQ(allocations_of_uploads(0, &packets, &lost), 0);
	T_CHECK(packets > 5000);
	T_EQ(lost, 0);
	/* A hole needs bits for what lies behind it, and those are made for it. */
	T_CHECK(allocations_of_uploads(1000, &packets, &lost) < 8 * lost);
	T_CHECK(packets > 5000 && lost > 5);
}

/* Batches that the server takes in one turn when so many connections send it ten packets
 * each, an initial window; *up is what came of them that the engine does not open. */
static uint64_t batches_of_a_turn(uint32_t conns, bool long_header, uint64_t *up)
{
	struct host *server = &hosts[HOST_SERVER];
	struct qx_stats before, after;

	hosts_open(lan, conns, 0);
	if (long_header)
		send_long_header(conns);
	for (uint32_t i = 0; i < conns; i++)
		host_write(HOST_CLIENT, i, 0, 100000);
	qx_engine_flush(hosts[HOST_CLIENT].e, host_now_ns);
	qx_link_advance(link_, host_now_ns += MS_NS);
	qx_get_stats(ends[HOST_SERVER], &before);
	T_CHECK(qx_engine_turn(server->e, host_now_ns, QX_NEVER_NS) & QX_TURN_EVENTS);
	qx_get_stats(ends[HOST_SERVER], &after);
	host_hear(server);
	*up = server->unknown_up;
	hosts_close();
	return after.turns - before.turns;
}

/* The caller, in Python, hears once of what came in several batches of a socket; but small
 * ones are waited for no longer, a flood does not go on, and behind what is aioquic's, which
 * takes milliseconds, others get their chance first. */
static void large_batches_share_a_turn(void)
{
	uint64_t up;

	T_EQ(batches_of_a_turn(1, false, &up), 1);
	T_EQ(batches_of_a_turn(8, false, &up), 2);
	T_EQ(batches_of_a_turn(40, false, &up), 1);
	T_EQ(up, 0);
	T_EQ(batches_of_a_turn(8, true, &up), 1);
	T_EQ(up, 1);
}

static void without_a_datapath_turns_are_refused(void)
{
	struct qx_engine *e;

	T_EQ(qx_engine_open(&e, NULL, 21), -EINVAL);
	T_EQ(qx_engine_open(&e, NULL, 8), 0);
	T_EQ(qx_engine_receive(e, 1), -EINVAL);
	T_EQ(qx_engine_turn(e, 1, QX_NEVER_NS), -EINVAL);
	T_EQ(qx_engine_flush(e, 1), -EINVAL);
	qx_engine_close(e);
	qx_engine_close(NULL);
}

static const struct t_case cases[] = {
	{"several connections transfer both ways", several_connections_transfer_both_ways},
	{"a bad link loses nothing", a_bad_link_loses_nothing},
	{"connections share fairly", connections_share_fairly},
	{"a full ring starves nobody", a_full_ring_starves_nobody},
	{"a hostile connection takes nothing from the others",
	 a_hostile_connection_takes_nothing_from_the_others},
	{"after a long header all goes up, in order",
	 after_a_long_header_all_goes_up_in_order},
	{"what no connection is known for goes up", what_no_connection_is_known_for_goes_up},
	{"without keys datagrams go up", without_keys_datagrams_go_up},
	{"another address is told", another_address_is_told},
	{"a closed connection's packets are dropped",
	 a_closed_connections_packets_are_dropped},
	{"connections close at any time", connections_close_at_any_time},
	{"an interface with a smaller MTU gets smaller datagrams",
	 an_interface_with_a_smaller_mtu_gets_smaller_datagrams},
	{"without a path nothing is sent and nothing spins",
	 without_a_path_nothing_is_sent_and_nothing_spins},
	{"congestion marks shrink the window", congestion_marks_shrink_the_window},
	{"deadlines come due without packets", deadlines_come_due_without_packets},
	{"the steady state allocates nothing", the_steady_state_allocates_nothing},
	{"large batches share a turn", large_batches_share_a_turn},
	{"without a datapath turns are refused", without_a_datapath_turns_are_refused},
};

T_MAIN(cases)
