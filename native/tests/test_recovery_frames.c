/* test_recovery_frames.c: ACK frames of peers that fill them as they like. */
#include "recovery_side.h"

static void a_number_never_sent_is_a_violation(void)
{
	begin_test();
	frame(0, 0, 0, 0);
	T_EQ(take(false, s), PROTOCOL_VIOLATION);
	send_many(3, s);
	frame(3, 0, 0, 3);
	T_EQ(take(false, s), PROTOCOL_VIOLATION);
	frame(QX_VARINT_MAX, 0, 0, QX_VARINT_MAX);
	T_EQ(take(false, s), PROTOCOL_VIOLATION);
	T_EQ(r.acked_packets, 0);
	T_EQ(told_cnt, 0);
}

static void ranges_below_zero_are_malformed(void)
{
	static const uint64_t bad[][5] = {
		/* largest, ranges, first, gap, length */
		{4, 0, 5, 0, 0},
		{4, 1, 4, 0, 0}, /* no place for a gap */
		{4, 1, 3, 0, 0},
		{4, 1, 0, 3, 0},
		{4, 1, 0, 2, 1},
		{4, 1, 0, QX_VARINT_MAX, 0},
		{4, 1, 0, 0, QX_VARINT_MAX},
		{4, 1, 0, QX_VARINT_MAX, QX_VARINT_MAX},
		{4, 2, 0, 0, 0}, /* one is missing */
		{4, QX_VARINT_MAX, 0, 0, 0},
	};

	begin_test();
	send_many(5, s);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		frame(bad[i][0], 0, bad[i][1], bad[i][2]);
		if (bad[i][1]) {
			more(bad[i][3]);
			more(bad[i][4]);
		}
		T_EQ(take(false, s), FRAME_ENCODING_ERROR);
	}
	/* A good range, then a bad one: nothing is applied. */
	frame(4, 0, 2, 0);
	more(0);
	more(0);
	more(1);
	more(0);
	T_EQ(take(false, s), FRAME_ENCODING_ERROR);
	T_EQ(told_cnt, 0);
	T_EQ(r.sent.in_flight_bytes, 5 * DATAGRAM);
	T_CHECK(r.largest_acked == UINT64_MAX);
}

static void truncated_frames_are_malformed(void)
{
	uint8_t *whole;

	begin_test();
	send_many(10, s);
	frame(9, 300, 1, 0);
	more(0);
	more(1);
	more(0);
	more(0);
	more(0);
	whole = end;
	for (end = bytes; end < whole; end++)
		T_EQ(take(true, s), FRAME_ENCODING_ERROR);
	T_EQ(told_cnt, 0);
	T_EQ(take(true, s), 0);
}

static void thousands_of_ranges_are_taken(void)
{
	enum {
		CNT = 20000
	};

	begin_test();
	r.cc.cwnd_bytes = CC_WINDOW_MAX_BYTES;
	send_many(CNT, s);
	/* Every second one, from the top. */
	frame(CNT - 1, 0, CNT / 2 - 1, 0);
	for (int i = 1; i < CNT / 2; i++) {
		more(0);
		more(0);
	}
	T_EQ(take(false, s + 40 * ms), 0);
	T_EQ(r.acked_packets, CNT / 2);
	T_EQ(r.lost_packets, CNT / 2 - 1); /* all but the last but one */
	for (uint64_t pn = 0; pn < CNT - 2; pn++)
		T_EQ(acked_cnt[pn], pn & 1);
	T_EQ(r.sent.oldest, CNT - 2);
	/* Again, and what it says is forgotten already. */
	for (int i = 0; i < 100; i++)
		T_EQ(take(false, s + 41 * ms), 0);
	T_EQ(r.acked_packets, CNT / 2);
	T_EQ(told_cnt, CNT - 1);
}

/* A transfer with every second ACK lost, for every number of packets under way. */
static void what_an_ack_costs_does_not_depend_on_history(void)
{
	begin_test();
	for (uint64_t pn = 0; pn < 50000; pn++) {
		send_at(s + pn * ms);
		if (pn % 2)
			ack(0, pn, s + pn * ms);
		/* All that lies between the two bounds of a walk. */
		T_CHECK(r.sent.next - r.sent.oldest <= 2);
	}
	T_EQ(r.sent.size, SENT_MIN);
}

static void random_frames_break_nothing(void)
{
	uint64_t seed = 5;

	begin_with(&cc_cubic);
	for (int i = 0; i < 200000; i++) {
		const uint32_t len = (uint32_t)(t_random(&seed) % 40);

		if (i % 4 == 0 && recovery_window(&r) >= DATAGRAM)
			send_at((uint64_t)i * ms);
		for (uint32_t k = 0; k < len; k++)
			bytes[k] = (uint8_t)(t_random(&seed) >> (t_random(&seed) % 7 + 56));
		end = bytes + len;
		struct reader reader = {bytes, end, false};
		const uint64_t error =
			recovery_on_ack_frame(&r, &reader, i & 1, (uint64_t)i * ms);
		T_CHECK(error == 0 || error == FRAME_ENCODING_ERROR ||
			error == PROTOCOL_VIOLATION);
		T_CHECK(r.sent.in_flight_bytes <= 2 * CC_WINDOW_MAX_BYTES);
	}
}

static const struct t_case cases[] = {
	{"a number never sent is a violation", a_number_never_sent_is_a_violation},
	{"ranges below zero are malformed", ranges_below_zero_are_malformed},
	{"truncated frames are malformed", truncated_frames_are_malformed},
	{"thousands of ranges are taken", thousands_of_ranges_are_taken},
	{"what an ACK costs does not depend on history",
	 what_an_ack_costs_does_not_depend_on_history},
	{"random frames break nothing", random_frames_break_nothing},
};

RECOVERY_MAIN(cases)
