/* test_streams_ends.c: resets, stops and credit: how streams end, what they owe by then, and
 * what outlives them. */
#include <errno.h>

#include "streams_packets.h"

static void a_reset_goes_until_it_is_acknowledged(void)
{
	begin(side_limits);
	put(2, 3000, true);
	T_EQ(streams_buffered(&me.s, 2), 3000);
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	const uint64_t sent = frames[0].len_bytes;

	T_EQ(streams_buffered(&me.s, 2), 3000 - sent);
	T_EQ(streams_buffered(&me.s, UINT64_C(1) << 62), 3000 - sent);
	T_EQ(streams_reset(&me.s, 2, 99), 0);
	T_EQ(streams_reset(&me.s, 2, 98), -EPIPE);
	T_EQ(streams_buffered(&me.s, UINT64_C(1) << 62), 0);
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	expect_control(0, FRAME_RESET_STREAM, 2, 99, sent);
	T_EQ(write_packet(PACKET_BYTES, true), 0);
	side_fate(&me, 0, false); /* the data: not sent again */
	last_packet(false);
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	expect_control(0, FRAME_RESET_STREAM, 2, 99, sent);
	last_packet(true);
	streams_reap(&me.s);
	T_EQ(me.gone_cnt, 1);
	side_close(&me);
}

/* RFC 9000 section 3.5.  The first code is the one that counts; every frame is told. */
static void stop_sending_of_the_peer_resets_our_half_once(void)
{
	struct got_frame f = {.type = FRAME_STOP_SENDING, .fields = {0, 55}};
	bool told;

	begin(side_limits);
	put(0, 100, false);
	T_EQ(side_frame(&me, &f, &told), 0);
	T_CHECK(told);
	f.fields[1] = 56;
	T_EQ(side_frame(&me, &f, &told), 0);
	T_CHECK(told);
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	expect_control(0, FRAME_RESET_STREAM, 0, 55, 0);
	T_EQ(put(0, 1, false), -EPIPE);
	last_packet(true);
	T_EQ(side_frame(&me, &f, &told), 0);
	T_CHECK(told);
	T_EQ(write_packet(PACKET_BYTES, true), 0);
	side_close(&me);
}

static void our_stop_sending_goes_until_the_size_is_known(void)
{
	begin(side_limits);
	put(0, 1, true);
	write_packet(PACKET_BYTES, true);
	last_packet(true);
	T_EQ(got_data(&me, 0, 0, 10, false), 0);
	T_EQ(streams_stop(&me.s, 0, 11), 0);
	T_EQ(streams_stop(&me.s, 0, 12), 0); /* the first counts */
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	expect_control(0, FRAME_STOP_SENDING, 0, 11, 0);
	last_packet(false);
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	expect_control(0, FRAME_STOP_SENDING, 0, 11, 0);
	T_EQ(got(&me, FRAME_RESET_STREAM, 0, 11, 20), 0);
	last_packet(false);
	T_EQ(write_packet(PACKET_BYTES, true), 0);
	struct stream_news news;

	T_CHECK(streams_news(&me.s, &news, 0, 0));
	T_CHECK(news.reset && news.reset_code == 11 && news.len_bytes == 0);
	streams_reap(&me.s);
	T_EQ(me.gone_cnt, 1);
	side_close(&me);
}

/* The size is known and a hole is left: the peer would go on resending. */
static void a_stopped_stream_with_a_known_size_waits_for_its_frame_only(void)
{
	side_open(&me, side_config, false);
	T_EQ(got_data(&me, 2, 10, 5, true), 0);
	T_EQ(streams_stop(&me.s, 2, 7), 0);
	streams_reap(&me.s);
	T_EQ(me.gone_cnt, 0);
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	expect_control(0, FRAME_STOP_SENDING, 2, 7, 0);
	streams_reap(&me.s);
	T_EQ(me.gone_cnt, 1);
	last_packet(false);
	T_EQ(write_packet(PACKET_BYTES, true), 0);
	side_close(&me);
}

static void a_reset_of_a_stream_that_is_over_is_no_news(void)
{
	struct stream_news news;

	side_open(&me, side_config, false);
	T_EQ(got_data(&me, 2, 0, 5, false), 0);
	T_EQ(streams_stop(&me.s, 2, 7), 0);
	write_packet(PACKET_BYTES, true);
	T_CHECK(!streams_news(&me.s, &news, 0, 0));
	T_EQ(got_data(&me, 2, 5, 0, true), 0);
	T_EQ(got(&me, FRAME_RESET_STREAM, 2, 7, 5), 0);
	T_EQ(got_data(&me, 2, 5, 0, true), 0);
	T_CHECK(!streams_news(&me.s, &news, 0, 0));
	streams_reap(&me.s);
	T_EQ(me.gone_cnt, 1);
	side_close(&me);
}

/* The application reads what it was told after the stream, or all of them, have gone. */
static void lent_data_outlives_its_stream(void)
{
	struct stream_news news;

	side_open(&me, side_config, false);
	T_EQ(got_data(&me, 2, 0, 500, true), 0);
	T_CHECK(streams_news(&me.s, &news, 0, 0));
	streams_reap(&me.s);
	T_EQ(me.gone_cnt, 1);
	T_CHECK(!streams_find(&me.s, 2));
	T_CHECK(bytes_are(news.data, 0, 500));
	T_CHECK(streams_memory_bytes(&me.s) > 2048);
	side_close(&me); /* unsettled */
	side_open(&me, side_config, false);
	T_EQ(got_data(&me, 2, 0, 500, false), 0);
	T_CHECK(streams_news(&me.s, &news, 0, 0));
	T_EQ(streams_stop(&me.s, 2, 7), 0);
	T_CHECK(bytes_are(news.data, 0, 500));
	streams_settle(&me.s);
	T_EQ(me.memory.bufs.lent_cnt, 0);
	side_close(&me);
	side_open(&me, side_config, false);
	T_EQ(got_data(&me, 2, 0, 500, true), 0);
	streams_settle(&me.s); /* a turn too early: nothing was told yet */
	T_CHECK(streams_news(&me.s, &news, 0, 0));
	streams_reap(&me.s);
	T_CHECK(bytes_are(news.data, 0, 500));
	streams_settle(&me.s);
	T_EQ(me.memory.streams.lent_cnt, 0);
	side_close(&me);
}

/* Data behind a hole is no news, and may be all that a connection ever hears. */
static void untold_data_keeps_no_more_than_it_must(void)
{
	struct stream_news news;

	side_open(&me, side_config, false);
	for (uint64_t off = 0; off < 100000; off += 50000)
		T_EQ(got_data(&me, 2, off, 50000, false), 0);
	T_CHECK(streams_news(&me.s, &news, 0, 0));
	streams_settle(&me.s);
	T_EQ(got_data(&me, 2, 100100, 1, false), 0);
	T_CHECK(streams_memory_bytes(&me.s) > 100000);
	T_CHECK(!streams_news(&me.s, &news, 0, 0));
	T_CHECK(streams_memory_bytes(&me.s) < 4096);
	side_close(&me);
}

static void read_news(void)
{
	struct stream_news news;

	while (streams_news(&me.s, &news, 0, 0))
		;
	streams_reap(&me.s);
	streams_settle(&me.s);
}

static void credit_is_announced_and_repeated_if_lost_and_still_the_newest(void)
{
	const uint32_t half = 1 << 17;

	begin(side_limits);
	put(0, 1, true);
	write_packet(PACKET_BYTES, true);
	last_packet(true);
	for (uint64_t off = 0; off < half; off += half / 4)
		T_EQ(got_data(&me, 0, off, half / 4, false), 0);
	T_EQ(write_packet(PACKET_BYTES, true), 0); /* not read yet */
	read_news();
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	expect_control(0, FRAME_MAX_STREAM_DATA, 0, half * 3, 0);
	last_packet(false);
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	expect_control(0, FRAME_MAX_STREAM_DATA, 0, half * 3, 0);
	const uint64_t older = me.sent.next - 1;

	for (uint64_t off = half; off < 2 * half; off += half / 4)
		T_EQ(got_data(&me, 0, off, half / 4, false), 0);
	read_news();
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	expect_control(0, FRAME_MAX_STREAM_DATA, 0, half * 4, 0);
	side_fate(&me, older, false);
	T_EQ(write_packet(PACKET_BYTES, true), 0);
	T_EQ(got_data(&me, 0, 2 * half, 0, true), 0);
	last_packet(false);
	T_EQ(write_packet(PACKET_BYTES, true), 0); /* its size is known: no use */
	read_news();
	side_close(&me);
}

/* A peer whose streams are reset or stopped must not run out of connection credit. */
static void discarded_data_gives_connection_credit_back(void)
{
	struct qx_conn_config cfg = side_config;

	cfg.max_data_bytes = 1000;
	side_open(&me, cfg, false);
	T_EQ(got_data(&me, 0, 0, 300, false), 0);
	T_EQ(got(&me, FRAME_RESET_STREAM, 0, 1, 400), 0);
	T_EQ(me.s.flow.consumed, 400);
	T_EQ(got_data(&me, 4, 0, 100, false), 0);
	T_EQ(streams_stop(&me.s, 4, 1), 0);
	T_EQ(me.s.flow.consumed, 500);
	T_EQ(got_data(&me, 4, 150, 50, false), 0);
	T_EQ(me.s.flow.consumed, 600);
	read_news();
	T_EQ(me.s.flow.consumed, 600); /* once */
	write_packet(PACKET_BYTES, true);
	T_EQ(count(FRAME_MAX_DATA), 1);
	T_EQ(me.s.flow.limit_sent, 1500);
	last_packet(false);
	T_CHECK(!streams_have_work(&me.s, false) || me.s.control.head);
	write_packet(PACKET_BYTES, true);
	T_EQ(count(FRAME_MAX_DATA), 1);
	side_close(&me);
}

/* Manual consumption: a reader that stops, stops the sender; the stream waits for it. */
static void manual_consumption_holds_credit_and_stream(void)
{
	struct qx_conn_config cfg = side_config;

	cfg.manual_consume = 1;
	side_open(&me, cfg, false);
	for (uint64_t off = 0; off < 1 << 18; off += 1 << 15)
		T_EQ(got_data(&me, 2, off, 1 << 15, off == (1 << 18) - (1 << 15)), 0);
	read_news();
	T_EQ(me.s.flow.consumed, 0);
	T_EQ(me.gone_cnt, 0);
	T_EQ(streams_consume(&me.s, 2, 1000, 0, 0), 0);
	T_EQ(me.s.flow.consumed, 1000);
	T_EQ(streams_consume(&me.s, 2, 1 << 20, 0, 0), 0);
	T_EQ(me.s.flow.consumed, 1 << 18);
	read_news();
	T_EQ(me.gone_cnt, 1);
	side_close(&me);
}

static void drained_is_told_when_the_level_falls_below_the_mark(void)
{
	begin(side_limits);
	T_EQ(streams_set_low_mark(&me.s, 0, 1000), 0);
	T_EQ(streams_set_low_mark(&me.s, 1, 1000), -EINVAL);
	put(0, 1500, false);
	while (write_packet(PACKET_BYTES, true))
		;
	T_EQ(me.drained_cnt, 0);
	side_fate(&me, 0, true);
	T_EQ(me.drained_cnt, 1);
	T_EQ(me.drained_id, 0);
	side_fate(&me, 1, true);
	T_EQ(me.drained_cnt, 1);
	side_close(&me);
}

static void tokens_come_back_when_the_connection_goes(void)
{
	begin(side_limits);
	for (uint64_t i = 1; i <= 20; i++)
		T_EQ(streams_write(&me.s, i % 5 * 4, text, 100, false, i), 0);
	write_packet(PACKET_BYTES, true);
	last_packet(true);
	T_CHECK(me.released_cnt > 0 && me.released_cnt < 20);
	side_close(&me);
	T_EQ(me.released_cnt, 20);
	for (uint64_t i = 1; i <= 20; i++)
		T_EQ(tokens_released[i], 1);
}

static const struct t_case cases[] = {
	{"a reset goes until it is acknowledged", a_reset_goes_until_it_is_acknowledged},
	{"STOP_SENDING of the peer resets our half once",
	 stop_sending_of_the_peer_resets_our_half_once},
	{"our STOP_SENDING goes until the size is known",
	 our_stop_sending_goes_until_the_size_is_known},
	{"a stopped stream with a known size waits for its frame only",
	 a_stopped_stream_with_a_known_size_waits_for_its_frame_only},
	{"a reset of a stream that is over is no news",
	 a_reset_of_a_stream_that_is_over_is_no_news},
	{"lent data outlives its stream", lent_data_outlives_its_stream},
	{"untold data keeps no more than it must", untold_data_keeps_no_more_than_it_must},
	{"credit is announced, and repeated if lost and still the newest",
	 credit_is_announced_and_repeated_if_lost_and_still_the_newest},
	{"discarded data gives connection credit back",
	 discarded_data_gives_connection_credit_back},
	{"manual consumption holds credit and stream",
	 manual_consumption_holds_credit_and_stream},
	{"drained is told when the level falls below the mark",
	 drained_is_told_when_the_level_falls_below_the_mark},
	{"tokens come back when the connection goes",
	 tokens_come_back_when_the_connection_goes},
};
T_MAIN(cases)
