/* test_connection.c: two whole connections and what they carry: streams, their ends and their
 * limits, datagrams. */
#include <errno.h>

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
};

T_MAIN(cases)
