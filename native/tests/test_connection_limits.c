/* test_connection_limits.c: what holds packets back, when ACKs go, what a connection tells and
 * what it keeps. */
#include <errno.h>
#include <malloc.h>

#include "frame.h"
#include "pair.h"

/* ---- Limits on sending ---- */

static void the_budget_is_never_exceeded(void)
{
	uint64_t bytes = 0;

	pair_start(NULL);
	qx_conn_set_budget(sides[SERVER].c, 3000);
	pair_write(SERVER, 1, 0, 100000, true, true);
	pair_run(60 * S_NS);
	T_CHECK(sides[SERVER].packet_bytes <= 3000 && sides[SERVER].packet_bytes > 2900);
	T_EQ(qx_conn_budget(sides[SERVER].c), 3000 - sides[SERVER].packet_bytes);
	/* No timer is armed for what may not be sent. */
	T_EQ(qx_conn_deadline(sides[SERVER].c), QX_NEVER_NS);
	for (uint64_t budget = 1; budget < 200; budget++) {
		bytes = sides[SERVER].packet_bytes;
		qx_conn_set_budget(sides[SERVER].c, budget);
		pair_run(S_NS);
		T_CHECK(sides[SERVER].packet_bytes <= bytes + budget);
	}
	qx_conn_set_budget(sides[SERVER].c, UINT64_MAX);
	pair_run(20 * S_NS);
	check_received(CLIENT, 1, 100000);
	pair_check_quiet();
	pair_end();
}

static void an_ack_too_long_for_the_budget_waits(void)
{
	pair_start(NULL);
	for (uint64_t budget = 0; budget < 60; budget++) {
		qx_conn_set_budget(sides[SERVER].c, budget);
		pair_write(CLIENT, 0, budget * 10, 10, false, false);
		pair_run(100 * MS_NS);
	}
	T_CHECK(sides[SERVER].packets > 0);
	pair_end();
}

/* One probe per PTO, and the timeouts double. */
static void silence_is_answered_by_probes(void)
{
	uint64_t at_ns[5], packets;

	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 10, false, false);
	pair_run(S_NS);
	net.cut[CLIENT] = true;
	pair_write(CLIENT, 0, 10, 10, false, false);
	pair_flush(CLIENT);
	for (uint32_t i = 0; i < 5; i++) {
		packets = sides[CLIENT].packets;
		at_ns[i] = now_ns = qx_conn_deadline(sides[CLIENT].c);
		qx_conn_handle_timer(sides[CLIENT].c, now_ns);
		pair_flush(CLIENT);
		T_EQ(sides[CLIENT].packets, packets + 1);
		if (i > 1)
			T_EQ(at_ns[i] - at_ns[i - 1], 2 * (at_ns[i - 1] - at_ns[i - 2]));
	}
	T_EQ(pair_stats(CLIENT).ptos, 5);
	net.cut[CLIENT] = false;
	pair_run(20 * S_NS);
	T_EQ(pair_stream(SERVER, 0)->bytes, 20);
	pair_check_quiet();
	pair_end();
}

static void before_confirmation_no_pto_is_armed(void)
{
	pair_open(NULL);
	pair_set_secret(CLIENT, QX_EPOCH_ONE_RTT, 1);
	pair_write(CLIENT, 0, 0, 10, false, false);
	pair_flush(CLIENT);
	T_EQ(qx_conn_deadline(sides[CLIENT].c), QX_NEVER_NS);
	qx_conn_set_confirmed(sides[CLIENT].c, 0, now_ns);
	T_CHECK(qx_conn_deadline(sides[CLIENT].c) != QX_NEVER_NS);
	pair_end();
}

/* A path that silently drops larger datagrams (RFC 8899 section 4.3). */
static void a_smaller_mtu_is_found_out(void)
{
	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 100000, false, true);
	pair_run(2 * S_NS);
	net.mtu_bytes = 1250;
	pair_write(CLIENT, 0, 100000, 100000, true, true);
	pair_run(30 * S_NS);
	check_received(SERVER, 0, 200000);
	pair_check_quiet();
	pair_end();
}

static void aioquics_bytes_share_the_window(void)
{
	pair_start(NULL);
	qx_conn_set_foreign_in_flight(sides[CLIENT].c, 1 << 20);
	pair_write(CLIENT, 0, 0, 10000, false, false);
	pair_run(100 * MS_NS);
	T_EQ(sides[CLIENT].packets, 0);
	qx_conn_set_foreign_in_flight(sides[CLIENT].c, 0);
	pair_run(100 * MS_NS);
	T_EQ(pair_stream(SERVER, 0)->bytes, 10000);
	pair_end();
}

static void a_new_path_starts_with_a_new_window(void)
{
	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 400000, false, true);
	pair_run(5 * S_NS);
	T_CHECK(pair_stats(CLIENT).cwnd_bytes > 20 * 1350);
	qx_conn_reset_path(sides[CLIENT].c, now_ns);
	T_EQ(pair_stats(CLIENT).cwnd_bytes, 10 * 1350);
	pair_write(CLIENT, 0, 400000, 400000, true, true);
	pair_run(5 * S_NS);
	check_received(SERVER, 0, 800000);
	pair_check_quiet();
	pair_end();
}

/* ---- Acknowledgments ---- */

static void an_ack_waits_for_its_delay_or_the_second_packet(void)
{
	pair_start(NULL);
	T_EQ(pair_inject(SERVER, BYTES(FRAME_PING)), 1);
	T_EQ(qx_conn_deadline(sides[SERVER].c), now_ns + MS_NS);
	pair_flush(SERVER);
	T_EQ(sides[SERVER].packets, 0);
	T_EQ(pair_inject(SERVER, BYTES(FRAME_PING)), 1);
	pair_flush(SERVER);
	T_EQ(sides[SERVER].packets, 1);
	T_EQ(pair_inject(SERVER, BYTES(FRAME_PING)), 1);
	now_ns += MS_NS;
	pair_flush(SERVER);
	T_EQ(sides[SERVER].packets, 2);
	/* What elicits nothing is not acknowledged: no ACK of ACKs. */
	pair_run(5 * S_NS);
	T_EQ(sides[CLIENT].packets, 3);
	T_EQ(sides[SERVER].packets, 2);
	pair_end();
}

static void the_first_ack_is_told_once(void)
{
	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 50000, true, true);
	pair_run(S_NS);
	T_EQ(sides[CLIENT].first_acks, 1);
	T_EQ(sides[SERVER].first_acks, 0);
	pair_end();
}

/* ---- Order, time, memory ---- */

static void events_of_a_stream_keep_their_order(void)
{
	static const uint8_t types[] = {QX_EV_STREAM_DATA, QX_EV_STOP_SENDING, QX_EV_DATAGRAM,
					QX_EV_STREAM_RESET};
	uint32_t n = 0;

	pair_start(NULL);
	pair_write(SERVER, 1, 0, 10, false, false);
	pair_run(100 * MS_NS);
	sides[SERVER].log_cnt = 0;
	T_EQ(pair_inject(SERVER,
			 BYTES(FRAME_STREAM | 2, 0, 3, 0, 7, 14, FRAME_STOP_SENDING, 1, 5,
			       FRAME_DATAGRAM_LEN, 1, 0, FRAME_RESET_STREAM, 0, 9, 3)),
	     1);
	for (uint32_t i = 0; i < sides[SERVER].log_cnt; i++)
		if (sides[SERVER].log[i].type <= QX_EV_DATAGRAM)
			T_EQ(sides[SERVER].log[i].type, types[n++]);
	T_EQ(n, 4);
	pair_end();
}

static void the_spin_bit_turns_once_per_round_trip(void)
{
	uint32_t turns = 0;
	bool was = false;

	pair_start(NULL);
	for (uint32_t i = 0; i < 40; i++) {
		pair_write(CLIENT, 0, i, 1, false, false);
		pair_run(5 * MS_NS);
		turns += sides[CLIENT].c->spin != was;
		was = sides[CLIENT].c->spin;
	}
	T_CHECK(turns >= 6 && turns <= 11);
	pair_end();
}

static void the_idle_clock_is_kept(void)
{
	pair_start(NULL);
	T_EQ(pair_stats(CLIENT).last_open_ns, 0);
	pair_write(CLIENT, 0, 0, 10, false, false);
	pair_flush(CLIENT);
	T_EQ(pair_stats(CLIENT).first_eliciting_ns, now_ns);
	pair_run(S_NS);
	T_CHECK(pair_stats(CLIENT).last_open_ns > S_NS);
	T_EQ(pair_stats(CLIENT).first_eliciting_ns, 0);
	pair_end();
}

/* What one side says it sent, the other says it got, or the network kept it. */
static void the_counters_of_both_sides_add_up(void)
{
	struct qx_conn_stats me, peer;

	pair_start(NULL);
	net.dup_ppm = 100000;
	pair_write(CLIENT, 0, 0, 300000, true, true);
	pair_write(SERVER, 1, 0, 1000, true, true);
	T_EQ(qx_conn_update_key(sides[CLIENT].c, now_ns), 1);
	T_EQ(qx_conn_push_control(sides[CLIENT].c, (const uint8_t[]){0x1e}, 1, 0, 0), 0);
	pair_run(5 * S_NS);
	pair_write(CLIENT, 4, 0, 10, false, false);
	pair_run(5 * S_NS);
	me = pair_stats(CLIENT);
	peer = pair_stats(SERVER);
	T_EQ(me.tx_packets, me.next_packet_number);
	T_EQ(me.tx_packets, sides[CLIENT].packets);
	T_EQ(me.tx_bytes, sides[CLIENT].packet_bytes);
	T_CHECK(peer.duplicates > 0);
	T_EQ(peer.rx_packets - peer.duplicates, me.tx_packets);
	T_EQ(peer.largest_received, me.next_packet_number - 1);
	T_EQ(me.lost_packets, 0);
	T_EQ(me.lost_bytes, 0);
	T_EQ(me.control_frames, 1);
	T_EQ(peer.up_packets, 1);
	T_EQ(me.key_updates, peer.key_updates);
	T_EQ(me.streams, 3); /* 4 is open, 0 and 1 in one direction */
	T_CHECK(me.rtt_min_ns >= 2 * net.delay_ns && me.rtt_smoothed_ns >= me.rtt_min_ns);
	T_CHECK(me.cwnd_bytes > 0 && me.unsent_bytes == 0);
	pair_end();
}

static void closing_releases_every_buffer(void)
{
	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 3000000, true, true);
	pair_write(CLIENT, 4, 0, 3000000, true, true);
	pair_run(50 * MS_NS);
	T_CHECK(sides[CLIENT].held_cnt > 10);
	pair_end();
}

/* Events that point into a closed connection stay readable. */
static void closing_keeps_what_events_point_to(void)
{
	const struct qx_event *events;
	uint32_t n, found = 0;

	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 1000, true, false);
	pair_flush(CLIENT);
	T_EQ(qx_conn_receive(sides[SERVER].c, QX_EPOCH_ONE_RTT, net.wire[0]->bytes,
			     net.wire[0]->len_bytes, 9, 0, now_ns),
	     1);
	qx_conn_close(sides[SERVER].c);
	sides[SERVER].c = NULL;
	n = qx_engine_events(sides[SERVER].e, &events, NULL);
	for (uint32_t i = 0; i < n; i++)
		if (events[i].type == QX_EV_STREAM_DATA) {
			T_CHECK(memcmp(events[i].data, pattern, 1000) == 0);
			found++;
		}
	T_EQ(found, 1);
	qx_engine_events_done(sides[SERVER].e);
	T_EQ(sides[SERVER].e->memory.bufs.lent_cnt, 0);
	pair_close();
}

static void an_idle_connection_is_small(void)
{
	enum {
		CNT = 64
	};
	struct qx_conn_config cfg = pair_config(SERVER);
	struct qx_conn *conns[CNT];
	size_t before, after;

	pair_start(NULL); /* warms libcrypto up */
	before = mallinfo2().uordblks;
	for (uint32_t i = 0; i < CNT; i++) {
		T_EQ(qx_conn_open(&conns[i], sides[SERVER].e, &cfg), 0);
		for (uint32_t sending = 0; sending < 2; sending++)
			T_EQ(qx_conn_set_secret(conns[i], QX_EPOCH_ONE_RTT, sending,
						QX_AES_128_GCM_SHA256, 1, pair_secret[0][1],
						32),
			     0);
	}
	after = mallinfo2().uordblks;
	printf("  %zu bytes per idle connection\n", (after - before) / CNT);
	T_CHECK((after - before) / CNT <= 16384);
	for (uint32_t i = 0; i < CNT; i++)
		qx_conn_close(conns[i]);
	pair_close();
}

static void a_wrong_configuration_is_refused(void)
{
	struct qx_conn_config cfg = pair_config(CLIENT);
	struct qx_conn *c;

	pair_start(NULL);
	cfg.max_datagram_bytes = 1199;
	T_EQ(qx_conn_open(&c, sides[CLIENT].e, &cfg), -EINVAL);
	cfg = pair_config(CLIENT);
	cfg.cid_len_bytes = 4;
	T_EQ(qx_conn_open(&c, sides[CLIENT].e, &cfg), -EINVAL);
	cfg = pair_config(CLIENT);
	cfg.cc = 9;
	T_EQ(qx_conn_open(&c, sides[CLIENT].e, &cfg), -EINVAL);
	T_EQ(qx_conn_add_cid(sides[CLIENT].c, pattern, 7), -EINVAL);
	T_EQ(qx_conn_set_peer_cid(sides[CLIENT].c, pattern, 21), -EINVAL);
	T_EQ(qx_conn_set_secret(sides[CLIENT].c, 2, 0, QX_AES_128_GCM_SHA256, 1, pattern, 32),
	     -EINVAL);
	T_EQ(qx_conn_set_secret(sides[CLIENT].c, 1, 0, 0x1399, 1, pattern, 32), -EINVAL);
	pair_end();
}

static const struct t_case cases[] = {
	{"the budget is never exceeded", the_budget_is_never_exceeded},
	{"an ACK too long for the budget waits", an_ack_too_long_for_the_budget_waits},
	{"silence is answered by probes", silence_is_answered_by_probes},
	{"before confirmation no PTO is armed", before_confirmation_no_pto_is_armed},
	{"a smaller MTU is found out", a_smaller_mtu_is_found_out},
	{"aioquic's bytes share the window", aioquics_bytes_share_the_window},
	{"a new path starts with a new window", a_new_path_starts_with_a_new_window},
	{"an ACK waits for its delay or the second packet",
	 an_ack_waits_for_its_delay_or_the_second_packet},
	{"the first ACK is told once", the_first_ack_is_told_once},
	{"events of a stream keep their order", events_of_a_stream_keep_their_order},
	{"the spin bit turns once per round trip", the_spin_bit_turns_once_per_round_trip},
	{"the idle clock is kept", the_idle_clock_is_kept},
	{"the counters of both sides add up", the_counters_of_both_sides_add_up},
	{"closing releases every buffer", closing_releases_every_buffer},
	{"closing keeps what events point to", closing_keeps_what_events_point_to},
	{"an idle connection is small", an_idle_connection_is_small},
	{"a wrong configuration is refused", a_wrong_configuration_is_refused},
};

T_MAIN(cases)
