/* test_streams_send.c: what goes into packets, in which order, how often, and what of it
 * goes again. */
#include "streams_packets.h"

/* aioquic's frames have lengths of two bytes as well: the same sizes on the wire. */
static void small_streams_share_a_packet(void)
{
	begin(side_limits);
	for (uint64_t id = 0; id < 40; id += 4)
		T_EQ(put(id, 10, true), 0);
	T_EQ(write_packet(PACKET_BYTES, true), 10);
	for (uint32_t i = 0; i < 10; i++)
		expect_stream(i, i * 4, 0, 10, true);
	T_EQ(packet[0], 0x0b); /* STREAM, LEN, FIN */
	T_EQ(packet[2], 0x40);
	T_EQ(write_packet(PACKET_BYTES, true), 0);
	side_close(&me);
}

static void streams_take_turns_packet_by_packet(void)
{
	begin(side_limits);
	for (uint64_t id = 0; id < 12; id += 4)
		put(id, 10000, false);
	for (uint32_t i = 0; i < 9; i++) {
		T_EQ(write_packet(PACKET_BYTES, true), 1);
		T_EQ(frames[0].fields[0], i % 3 * 4);
	}
	put(12, 10000, false); /* a new one waits for one round only */
	for (uint32_t i = 0; i < 4; i++)
		write_packet(PACKET_BYTES, true);
	T_EQ(frames[0].fields[0], 12);
	side_close(&me);
}

/* Every length of data around the room that there is. */
static void frames_fill_packets_and_never_overflow_them(void)
{
	for (uint32_t room = 0; room < 200; room++) {
		uint64_t sum = 0;

		begin(side_limits);
		put(0, 70000, false);
		for (int i = 0; i < 300 && write_packet(room, true); i++) {
			T_EQ(frame_cnt, 1);
			T_EQ(frames[0].fields[1], sum);
			T_CHECK(bytes_are(frames[0].data, sum, frames[0].len_bytes));
			T_EQ(frames[0].data + frames[0].len_bytes - packet, room);
			sum += frames[0].len_bytes;
		}
		T_CHECK(room < 5 ? sum == 0 : sum > 0);
		side_close(&me);
	}
}

/* Loopback has datagrams of 64 KiB; a length of two bytes says 16383. */
static void a_huge_packet_takes_several_frames(void)
{
	static uint8_t huge[60000];
	struct got_frame f;
	struct reader r;
	uint64_t sum = 0;
	uint32_t len;

	begin(side_limits);
	put(0, 100000, false);
	len = side_write(&me, huge, sizeof(huge), true);
	T_EQ(len, sizeof(huge));
	r = (struct reader){huge, huge + len, false};
	while (next_frame(&r, &f)) {
		T_EQ(f.fields[1], sum);
		T_CHECK(bytes_are(f.data, sum, f.len_bytes));
		sum += f.len_bytes;
	}
	T_CHECK(sum > 59900);
	side_close(&me);
}

/* A frame of a few bytes costs as much as it carries. */
static void no_crumbs_at_the_end_of_a_packet(void)
{
	begin(side_limits);
	put(0, 1161, true);
	put(4, 1000, true);
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	expect_stream(0, 4, 0, 1000, true);
	side_close(&me);
}

/* RFC 9000 section 4.1: at most what connection and stream allow; and we say that we are
 * blocked, once per limit. */
static void blocked_is_said_once_per_limit(void)
{
	struct qx_peer_limits limits = side_limits;

	limits.max_data = 1000;
	limits.max_stream_data_bidi_remote = 600;
	begin(limits);
	put(0, 700, true);
	T_EQ(write_packet(PACKET_BYTES, true), 2);
	expect_stream(0, 0, 0, 600, false);
	expect_control(1, FRAME_STREAM_DATA_BLOCKED, 0, 600, 0);
	T_EQ(write_packet(PACKET_BYTES, true), 0);
	put(4, 500, true);
	T_EQ(write_packet(PACKET_BYTES, true), 2);
	expect_stream(0, 4, 0, 400, false);
	expect_control(1, FRAME_DATA_BLOCKED, 1000, 0, 0);
	T_EQ(write_packet(PACKET_BYTES, true), 0);
	got(&me, FRAME_MAX_STREAM_DATA, 0, 650, 0); /* no use: the connection is blocked */
	T_EQ(write_packet(PACKET_BYTES, true), 0);
	got(&me, FRAME_MAX_DATA, 1100, 0, 0);
	T_EQ(write_packet(PACKET_BYTES, true), 2);
	expect_stream(0, 4, 400, 100, true);
	expect_control(1, FRAME_DATA_BLOCKED, 1100, 0, 0);
	got(&me, FRAME_MAX_DATA, 2000, 0, 0);
	T_EQ(write_packet(PACKET_BYTES, true), 2);
	expect_stream(0, 0, 600, 50, false);
	expect_control(1, FRAME_STREAM_DATA_BLOCKED, 0, 650, 0);
	got(&me, FRAME_MAX_STREAM_DATA, 0, 100, 0); /* RFC 9000 4.1: not lowered */
	got(&me, FRAME_MAX_DATA, 1, 0, 0);
	T_EQ(write_packet(PACKET_BYTES, true), 0);
	side_close(&me);
}

/* RFC 9000 section 13.3: "... only while the endpoint is blocked on the corresponding
 * limit". */
static void a_lost_blocked_is_repeated_while_it_is_true(void)
{
	struct qx_peer_limits limits = side_limits;

	limits.max_data = 700;
	limits.max_stream_data_bidi_remote = 600;
	limits.max_streams_bidi = 2;
	begin(limits);
	put(0, 700, true);
	put(4, 700, true);
	put(8, 1, true);
	write_packet(PACKET_BYTES, true);
	T_EQ(count(FRAME_STREAM_DATA_BLOCKED) + count(FRAME_DATA_BLOCKED) +
		     count(FRAME_STREAMS_BLOCKED_BIDI),
	     3);
	last_packet(false);
	write_packet(PACKET_BYTES, true);
	T_EQ(count(FRAME_STREAM_DATA_BLOCKED) + count(FRAME_DATA_BLOCKED) +
		     count(FRAME_STREAMS_BLOCKED_BIDI),
	     3);
	got(&me, FRAME_MAX_DATA, 5000, 0, 0);
	got(&me, FRAME_MAX_STREAM_DATA, 0, 5000, 0);
	got(&me, FRAME_MAX_STREAM_DATA, 4, 5000, 0);
	got(&me, FRAME_MAX_STREAMS_BIDI, 3, 0, 0);
	last_packet(false);
	while (write_packet(PACKET_BYTES, true)) {
		T_EQ(count(FRAME_STREAM), frame_cnt);
		last_packet(true);
	}
	streams_reap(&me.s);
	T_EQ(me.gone_cnt, 0); /* the other direction is still open */
	side_close(&me);
}

/* RFC 9000 section 4.6: no frame names a stream beyond MAX_STREAMS. */
static void streams_beyond_the_limit_wait_in_order(void)
{
	struct qx_peer_limits limits = side_limits;

	limits.max_streams_bidi = 1;
	begin(limits);
	put(8, 5, true);
	put(0, 5, true);
	put(4, 5, true);
	put(12, 5, true);
	T_EQ(streams_reset(&me.s, 12, 77), 0);
	T_EQ(write_packet(PACKET_BYTES, true), 2);
	expect_stream(0, 0, 0, 5, true);
	expect_control(1, FRAME_STREAMS_BLOCKED_BIDI, 1, 0, 0);
	T_EQ(write_packet(PACKET_BYTES, true), 0);
	got(&me, FRAME_MAX_STREAMS_BIDI, 2, 0, 0);
	T_EQ(write_packet(PACKET_BYTES, true), 2);
	expect_stream(0, 4, 0, 5, true);
	expect_control(1, FRAME_STREAMS_BLOCKED_BIDI, 2, 0, 0);
	got(&me, FRAME_MAX_STREAMS_BIDI, 10, 0, 0);
	T_EQ(write_packet(PACKET_BYTES, true), 2);
	expect_control(0, FRAME_RESET_STREAM, 12, 77, 0);
	expect_stream(1, 8, 0, 5, true);
	side_close(&me);
}

/* aioquic has written before the limits were known; so may we. */
static void what_was_written_before_the_limits_goes_when_they_come(void)
{
	begin((struct qx_peer_limits){0});
	put(0, 5, true);
	put(2, 5, true);
	T_CHECK(!streams_have_work(&me.s, false));
	T_EQ(write_packet(PACKET_BYTES, false), 0);
	streams_set_peer_limits(&me.s, &side_limits);
	T_CHECK(streams_have_work(&me.s, false));
	T_EQ(write_packet(PACKET_BYTES, false), 2);
	streams_set_peer_limits(&me.s, &(struct qx_peer_limits){0}); /* never lower */
	T_EQ(me.s.peer_max_data, side_limits.max_data);
	side_close(&me);
}

/* Ten thousand streams that have nothing to say must not be asked for each packet: what is
 * in no list cannot be visited. */
static void idle_and_blocked_streams_are_in_no_list(void)
{
	struct qx_peer_limits limits = side_limits;
	const struct stream *st;

	limits.max_streams_bidi = 20000;
	limits.max_stream_data_bidi_remote = 100;
	begin(limits);
	for (uint64_t n = 0; n < 10000; n++)
		put(n * 4, 5, false);
	while (write_packet(PACKET_BYTES, true))
		;
	for (uint64_t n = 5000; n < 10000; n++)
		put(n * 4, 200, false);
	while (write_packet(PACKET_BYTES, true))
		;
	for (st = me.s.all.head; st; st = st->links[LINK_ALL].next)
		T_CHECK(st->list == LIST_NONE && !st->in_control);
	T_CHECK(!me.s.resend.head && !me.s.fresh.head && !me.s.control.head);
	T_CHECK(!streams_have_work(&me.s, true));
	side_close(&me);
}

/* With the connection's credit used up, resends and FINs still go, and new data is not
 * looked at. */
static void lost_data_goes_while_the_connection_is_blocked(void)
{
	struct qx_peer_limits limits = side_limits;

	limits.max_data = 1000;
	begin(limits);
	put(0, 400, false);
	put(4, 2000, false);
	write_packet(PACKET_BYTES, true);
	T_EQ(me.s.sent_data, 1000);
	put(8, 10, false);
	put(12, 0, true);
	put(0, 0, true);
	T_EQ(write_packet(PACKET_BYTES, true), 2);
	expect_stream(0, 12, 0, 0, true);
	expect_stream(1, 0, 400, 0, true);
	side_fate(&me, 0, false);
	T_CHECK(streams_have_work(&me.s, true));
	write_packet(PACKET_BYTES, true);
	T_EQ(count(FRAME_STREAM), 2);
	T_EQ(me.s.sent_data, 1000);
	T_CHECK(!streams_have_work(&me.s, true));
	side_close(&me);
}

/* An end without data takes its turn among streams with data, as with aioquic: it neither
 * overtakes what was written before it nor waits for more than one frame of each. */
static void an_end_alone_takes_its_turn(void)
{
	begin(side_limits);
	put(4, 10, false);
	write_packet(PACKET_BYTES, true);
	put(0, 2000, false);
	put(4, 0, true);
	put(8, 5, false);
	T_EQ(write_packet(PACKET_BYTES, true), 1);
	expect_stream(0, 0, 0, PACKET_BYTES - 4, false);
	T_EQ(write_packet(PACKET_BYTES, true), 3);
	expect_stream(0, 4, 10, 0, true);
	expect_stream(1, 8, 0, 5, false);
	T_EQ(frames[2].fields[0], 0);
	side_fate(&me, 2, false); /* a lost end is resent before anything new */
	put(12, 10, false);
	T_CHECK(write_packet(PACKET_BYTES, true) >= 4);
	expect_stream(0, 4, 10, 0, true);
	T_EQ(frames[frame_cnt - 1].fields[0], 12);
	side_close(&me);
}

/* A packet that was written and never sent is lost, to the last frame. */
static void all_that_a_packet_carried_goes_again(void)
{
	begin(side_limits);
	put(0, 10, true);
	put(2, 10, false);
	put(6, 10, true);
	T_EQ(streams_reset(&me.s, 2, 1), 0);
	T_EQ(write_packet(PACKET_BYTES, true), 3);
	last_packet(false);
	T_EQ(write_packet(PACKET_BYTES, true), 3);
	T_EQ(count(FRAME_STREAM), 2);
	T_EQ(count(FRAME_RESET_STREAM), 1);
	side_close(&me);
}

static const struct t_case cases[] = {
	{"small streams share a packet", small_streams_share_a_packet},
	{"streams take turns, packet by packet", streams_take_turns_packet_by_packet},
	{"frames fill packets and never overflow them",
	 frames_fill_packets_and_never_overflow_them},
	{"a huge packet takes several frames", a_huge_packet_takes_several_frames},
	{"no crumbs at the end of a packet", no_crumbs_at_the_end_of_a_packet},
	{"blocked is said once per limit", blocked_is_said_once_per_limit},
	{"a lost *_BLOCKED is repeated while it is true",
	 a_lost_blocked_is_repeated_while_it_is_true},
	{"streams beyond the limit wait in order", streams_beyond_the_limit_wait_in_order},
	{"what was written before the limits goes when they come",
	 what_was_written_before_the_limits_goes_when_they_come},
	{"idle and blocked streams are in no list", idle_and_blocked_streams_are_in_no_list},
	{"lost data goes while the connection is blocked",
	 lost_data_goes_while_the_connection_is_blocked},
	{"an end alone takes its turn", an_end_alone_takes_its_turn},
	{"all that a packet carried goes again", all_that_a_packet_carried_goes_again},
};
T_MAIN(cases)
