/* test_connection.c: two connections joined back to back, sans I/O, on virtual time: streams,
 * datagrams, limits, acknowledgments.  Keys, the seam to aioquic and hostile peers have
 * programs of their own: test_connection_keys.c, test_seam.c, test_hostile.c. */
#include <errno.h>
#include <malloc.h>

#include "frame.h"
#include "pair.h"

/* ---- Transfers ---- */

static void data_crosses_both_ways(void)
{
	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 3000000, true, true);
	pair_write(SERVER, 1, 0, 3000000, true, false);
	pair_run(10 * S_NS);
	check_received(SERVER, 0, 3000000);
	check_received(CLIENT, 1, 3000000);
	pair_check_quiet();
	pair_end();
}

static void answers_come_on_the_stream_that_asked(void)
{
	pair_start(NULL);
	for (uint64_t i = 0; i < 300; i++) {
		const uint64_t id = qx_conn_next_stream_id(sides[CLIENT].c, 0);

		T_EQ(id, 4 * i);
		pair_write(CLIENT, id, 0, 100, true, false);
		pair_run(100 * MS_NS);
		check_received(SERVER, id, 100);
		pair_write(SERVER, id, 0, 5000, true, true);
		pair_run(100 * MS_NS);
		check_received(CLIENT, id, 5000);
		/* Both sides forget it, and the peer gets its credit back. */
		T_CHECK(pair_stream(CLIENT, id)->gone && pair_stream(SERVER, id)->gone);
	}
	T_EQ(pair_stats(CLIENT).streams, 0);
	T_EQ(pair_stats(SERVER).streams, 0);
	pair_check_quiet();
	pair_end();
}

static void transfer_over(uint32_t loss_ppm, uint32_t dup_ppm, uint32_t reorder_ppm,
			  uint64_t bytes, uint64_t for_ns)
{
	static const uint64_t from_client[] = {0, 4, 2, 6}, from_server[] = {1, 3};
	uint64_t packets;

	net.loss_ppm = loss_ppm;
	net.dup_ppm = dup_ppm;
	net.reorder_ppm = reorder_ppm;
	for (uint32_t i = 0; i < 4; i++)
		pair_write(CLIENT, from_client[i], 0, bytes, true, i & 1);
	for (uint32_t i = 0; i < 2; i++)
		pair_write(SERVER, from_server[i], 0, bytes, true, i & 1);
	pair_run(for_ns);
	for (uint32_t i = 0; i < 4; i++)
		check_received(SERVER, from_client[i], bytes);
	for (uint32_t i = 0; i < 2; i++)
		check_received(CLIENT, from_server[i], bytes);
	pair_check_quiet();
	/* And so it stays: ACKs of ACKs, and PINGs for them, must come to an end. */
	packets = pair_stats(CLIENT).tx_packets + pair_stats(SERVER).tx_packets;
	pair_run(10 * S_NS);
	T_EQ(pair_stats(CLIENT).tx_packets + pair_stats(SERVER).tx_packets, packets);
}

static void losses_are_repaired(void)
{
	pair_start(NULL);
	transfer_over(50000, 0, 0, 300000, 60 * S_NS);
	T_CHECK(pair_stats(CLIENT).lost_packets > 0);
	T_EQ(sides[CLIENT].lost, pair_stats(CLIENT).lost_packets);
	pair_end();
}

static void heavy_losses_are_repaired(void)
{
	pair_start(NULL);
	transfer_over(200000, 10000, 10000, 60000, 300 * S_NS);
	T_CHECK(pair_stats(CLIENT).ptos > 0);
	pair_end();
}

static void duplicates_and_reordering_do_no_harm(void)
{
	pair_start(NULL);
	transfer_over(0, 100000, 100000, 300000, 60 * S_NS);
	T_CHECK(pair_stats(SERVER).duplicates > 0);
	pair_end();
}

static void everything_at_once_with_cubic(void)
{
	struct qx_conn_config cfg = pair_config(CLIENT);

	cfg.cc = QX_CC_CUBIC;
	pair_start(&cfg);
	transfer_over(30000, 30000, 30000, 500000, 120 * S_NS);
	pair_end();
}

/* The number of packets, not of ACKs, and the time follow from the window: ten packets and
 * double per round trip. */
static void slow_start_doubles(void)
{
	pair_start(NULL);
	net.delay_ns = 50 * MS_NS;
	pair_write(CLIENT, 0, 0, 1 << 18, false, false);
	pair_flush(CLIENT);
	T_EQ(sides[CLIENT].packets, 10);
	pair_run(199 * MS_NS);
	T_CHECK(sides[CLIENT].packets >= 28 && sides[CLIENT].packets <= 31);
	T_CHECK(pair_stats(CLIENT).cwnd_bytes >= 20 * 1300);
	pair_end();
}

/* ---- Endings of streams ---- */

static void a_reset_comes_after_the_data_before_it(void)
{
	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 1000, false, true);
	pair_run(100 * MS_NS);
	T_EQ(qx_stream_reset(sides[CLIENT].c, 0, 77), 0);
	T_EQ(qx_stream_write(sides[CLIENT].c, 0, pattern, 1, 0, 0), -EPIPE);
	pair_run(S_NS);
	T_EQ(pair_stream(SERVER, 0)->bytes, 1000);
	T_CHECK(pair_stream(SERVER, 0)->reset);
	T_EQ(pair_stream(SERVER, 0)->reset_code, 77);
	pair_write(SERVER, 0, 0, 10, true, false);
	pair_run(S_NS);
	T_CHECK(pair_stream(SERVER, 0)->gone && pair_stream(CLIENT, 0)->gone);
	pair_check_quiet();
	pair_end();
}

static void stop_sending_resets_the_peers_half(void)
{
	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 5000000, true, true);
	pair_run(60 * MS_NS);
	T_EQ(qx_stream_stop(sides[SERVER].c, 0, 99), 0);
	pair_run(5 * S_NS);
	T_CHECK(pair_stream(CLIENT, 0)->stopped);
	T_EQ(pair_stream(CLIENT, 0)->stop_code, 99);
	T_EQ(sides[CLIENT].held_cnt, 0);
	T_CHECK(!pair_stream(SERVER, 0)->fin);
	T_EQ(qx_stream_write(sides[CLIENT].c, 0, pattern, 1, 0, 0), -EPIPE);
	/* Flow control of the connection goes on. */
	pair_write(CLIENT, 4, 0, 2000000, true, false);
	pair_run(10 * S_NS);
	check_received(SERVER, 4, 2000000);
	pair_end();
}

static void resets_and_stops_survive_losses(void)
{
	pair_start(NULL);
	net.loss_ppm = 300000;
	for (uint64_t id = 0; id < 80; id += 4)
		pair_write(CLIENT, id, 0, 20000, false, true);
	pair_run(100 * MS_NS);
	for (uint64_t id = 0; id < 40; id += 4)
		T_EQ(qx_stream_reset(sides[CLIENT].c, id, id), 0);
	for (uint64_t id = 40; id < 80; id += 4)
		if (pair_stream(SERVER, id)->bytes > 0)
			T_EQ(qx_stream_stop(sides[SERVER].c, id, id), 0);
		else
			T_EQ(qx_stream_reset(sides[CLIENT].c, id, id), 0);
	pair_run(120 * S_NS);
	for (uint64_t id = 0; id < 40; id += 4) {
		T_CHECK(pair_stream(SERVER, id)->reset);
		T_EQ(pair_stream(SERVER, id)->reset_code, id);
	}
	T_EQ(sides[CLIENT].held_cnt, 0);
	pair_end();
}

/* ---- Flow control ---- */

static void a_reader_that_stops_stops_the_writer(void)
{
	struct qx_conn_config cfg = pair_config(CLIENT);

	cfg.manual_consume = true;
	pair_start(&cfg);
	sides[SERVER].consumes = false;
	pair_write(CLIENT, 0, 0, 1000000, true, true);
	pair_run(5 * S_NS);
	T_EQ(pair_stream(SERVER, 0)->bytes, 1 << 18);
	T_EQ(pair_stats(CLIENT).unsent_bytes, 1000000 - (1 << 18));
	T_EQ(qx_stream_buffered(sides[CLIENT].c, 0), 1000000 - (1 << 18));
	/* It reads again, and everything comes. */
	sides[SERVER].consumes = true;
	T_EQ(qx_stream_consume(sides[SERVER].c, 0, 1 << 18), 0);
	pair_run(5 * S_NS);
	check_received(SERVER, 0, 1000000);
	pair_check_quiet();
	pair_end();
}

static void a_window_too_small_for_the_path_grows(void)
{
	struct qx_conn_config cfg = pair_config(CLIENT);

	cfg.max_data_bytes = cfg.max_stream_data_bytes = 16384;
	pair_start(&cfg);
	pair_write(CLIENT, 0, 0, 10000000, true, false);
	pair_run(10 * S_NS);
	check_received(SERVER, 0, 10000000);
	pair_end();
}

static void streams_beyond_the_limit_wait_for_their_turn(void)
{
	struct qx_conn_config cfg = pair_config(CLIENT);

	cfg.max_streams_bidi = 3;
	pair_start(&cfg);
	for (uint64_t id = 0; id < 40; id += 4)
		pair_write(CLIENT, id, 0, 1000, true, false);
	pair_run(S_NS);
	check_received(SERVER, 8, 1000);
	T_EQ(sides[SERVER].stream_cnt, 3);
	for (uint64_t id = 0; id < 40; id += 4) {
		check_received(SERVER, id, 1000);
		pair_write(SERVER, id, 0, 0, true, false);
		pair_run(S_NS);
	}
	pair_check_quiet();
	pair_end();
}

static void the_low_mark_is_told_when_it_is_passed(void)
{
	pair_start(NULL);
	T_EQ(qx_stream_set_low_mark(sides[CLIENT].c, 0, 100000), 0);
	pair_write(CLIENT, 0, 0, 500000, false, true);
	pair_run(5 * S_NS);
	T_EQ(sides[CLIENT].drained, 1);
	pair_end();
}

/* ---- DATAGRAM ---- */

static void datagrams_arrive_whole_and_are_not_repeated(void)
{
	pair_start(NULL);
	for (uint32_t i = 0; i < 20; i++)
		T_EQ(qx_conn_send_datagram(sides[CLIENT].c, pattern, 1000 + i), 0);
	T_EQ(qx_conn_send_datagram(sides[CLIENT].c, pattern, 0), 0);
	pair_run(S_NS);
	T_EQ(sides[SERVER].datagrams, 21);
	T_EQ(sides[SERVER].datagram_bytes, 20 * 1000 + 190);
	net.cut[CLIENT] = true;
	T_EQ(qx_conn_send_datagram(sides[CLIENT].c, pattern, 100), 0);
	pair_flush(CLIENT);
	net.cut[CLIENT] = false;
	pair_run(5 * S_NS);
	T_EQ(sides[SERVER].datagrams, 21);
	pair_check_quiet();
	pair_end();
}

static void datagrams_that_fit_nowhere_are_refused(void)
{
	struct qx_conn_config cfg = pair_config(CLIENT);
	uint32_t n = 0;
	int err = 0;

	pair_start(NULL);
	T_EQ(qx_conn_send_datagram(sides[CLIENT].c, pattern, 1351), -EMSGSIZE);
	/* The largest that fits: header, tag, type, length. */
	T_EQ(qx_conn_send_datagram(sides[CLIENT].c, pattern, 1350 - 11 - 16 - 3), 0);
	T_EQ(qx_conn_send_datagram(sides[CLIENT].c, pattern, 1350 - 11 - 16 - 2), -EMSGSIZE);
	pair_run(S_NS);
	T_EQ(sides[SERVER].datagrams, 1);
	/* What waits is bounded. */
	for (; err == 0 && n < 10000; n++)
		err = qx_conn_send_datagram(sides[CLIENT].c, pattern, 1000);
	T_EQ(err, -ENOBUFS);
	pair_run(100 * S_NS);
	T_EQ(sides[SERVER].datagrams, n);
	pair_end();

	/* A peer that takes none gets none. */
	cfg.max_datagram_frame_bytes = 0;
	pair_start(&cfg);
	T_EQ(qx_conn_send_datagram(sides[CLIENT].c, pattern, 100), 0);
	pair_run(S_NS);
	T_CHECK(sides[SERVER].error[0] == 0);
	T_EQ(sides[SERVER].datagrams, 0);
	T_EQ(sides[CLIENT].c->datagrams.bytes, 0);
	pair_end();
}

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
	{"data crosses both ways", data_crosses_both_ways},
	{"answers come on the stream that asked", answers_come_on_the_stream_that_asked},
	{"losses are repaired", losses_are_repaired},
	{"heavy losses are repaired", heavy_losses_are_repaired},
	{"duplicates and reordering do no harm", duplicates_and_reordering_do_no_harm},
	{"everything at once, with cubic", everything_at_once_with_cubic},
	{"slow start doubles", slow_start_doubles},
	{"a reset comes after the data before it", a_reset_comes_after_the_data_before_it},
	{"STOP_SENDING resets the peer's half", stop_sending_resets_the_peers_half},
	{"resets and stops survive losses", resets_and_stops_survive_losses},
	{"a reader that stops, stops the writer", a_reader_that_stops_stops_the_writer},
	{"a window too small for the path grows", a_window_too_small_for_the_path_grows},
	{"streams beyond the limit wait for their turn",
	 streams_beyond_the_limit_wait_for_their_turn},
	{"the low mark is told when it is passed", the_low_mark_is_told_when_it_is_passed},
	{"datagrams arrive whole and are not repeated",
	 datagrams_arrive_whole_and_are_not_repeated},
	{"datagrams that fit nowhere are refused", datagrams_that_fit_nowhere_are_refused},
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
	{"closing releases every buffer", closing_releases_every_buffer},
	{"closing keeps what events point to", closing_keeps_what_events_point_to},
	{"an idle connection is small", an_idle_connection_is_small},
	{"a wrong configuration is refused", a_wrong_configuration_is_refused},
};

T_MAIN(cases)
