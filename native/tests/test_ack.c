/* test_ack.c: what is acknowledged, when, and in which bytes. */
#include "ack.h"

#include "frame.h"
#include "t.h"
#include "varint.h"

enum {
	MS = 1000000,
	EXPONENT = 3,
	ROOM = 1200
};

static const uint64_t delay_ns = 25 * (uint64_t)MS;

static struct ack fresh(void)
{
	struct ack a;

	ack_init(&a, delay_ns);
	return a;
}

static void receive(struct ack *a, uint64_t pn, bool eliciting, uint64_t now_ns)
{
	T_CHECK(!ack_is_duplicate(a, pn));
	ack_received(a, pn, eliciting, QX_ECN_NOT_ECT, now_ns);
}

/* An ACK frame as the peer reads it. */
struct parsed {
	uint64_t type, largest, delay, ecn[3];
	uint32_t cnt;
	struct range ranges[RANGES_MAX + 1];
};

static struct parsed parse(const uint8_t *frame, uint32_t len)
{
	struct reader r = {.at = frame, .end = frame + len};
	struct parsed p = {0};
	uint64_t more, low;

	p.type = read_varint(&r);
	p.largest = read_varint(&r);
	p.delay = read_varint(&r);
	more = read_varint(&r);
	T_CHECK(more < RANGES_MAX);
	low = p.largest - read_varint(&r);
	p.ranges[p.cnt++] = (struct range){low, p.largest + 1};
	while (more-- > 0) {
		uint64_t high = low - read_varint(&r) - 2;

		low = high - read_varint(&r);
		p.ranges[p.cnt++] = (struct range){low, high + 1};
	}
	for (int i = 0; p.type == FRAME_ACK_ECN && i < 3; i++)
		p.ecn[i] = read_varint(&r);
	T_CHECK(!r.failed && r.at == r.end);
	return p;
}

static struct parsed written(struct ack *a, uint32_t room, uint64_t now_ns)
{
	uint8_t *frame = malloc(room); /* exact, so that ASan sees a byte too many */
	uint32_t len = ack_write(a, frame, room, EXPONENT, now_ns);
	struct parsed p = {0};

	if (len > 0)
		p = parse(frame, len);
	free(frame);
	return p;
}

static void one_packet_waits_for_the_delay(void)
{
	struct ack a = fresh();

	T_EQ(a.deadline_ns, QX_NEVER_NS);
	receive(&a, 0, true, 100);
	T_EQ(a.deadline_ns, 100 + delay_ns);
	T_CHECK(!ack_is_due(&a, 99 + delay_ns) && ack_is_due(&a, 100 + delay_ns));
}

static void every_second_one_is_acknowledged_at_once(void)
{
	struct ack a = fresh();

	receive(&a, 0, true, 100);
	receive(&a, 1, true, 200);
	T_CHECK(ack_is_due(&a, 200));
	T_EQ(written(&a, ROOM, 200).largest, 1);
	T_EQ(a.deadline_ns, QX_NEVER_NS);
	receive(&a, 2, true, 300);
	T_CHECK(!ack_is_due(&a, 300));
	receive(&a, 3, true, 400);
	T_CHECK(ack_is_due(&a, 400));
	/* A deadline that has passed is not moved by what comes after it. */
	receive(&a, 4, true, 500);
	T_EQ(a.deadline_ns, 400);
}

static void how_many_make_an_ack_can_be_chosen(void)
{
	struct ack a = fresh();

	a.every_cnt = 10;
	for (uint64_t pn = 0; pn < 9; pn++)
		receive(&a, pn, true, 100 + pn);
	T_EQ(a.deadline_ns, 100 + delay_ns);
	receive(&a, 9, true, 200);
	T_EQ(a.deadline_ns, 200);
}

/* RFC 9000 section 13.2.1: two endpoints must not acknowledge ACKs for ever, "even if there
 * are packet gaps". */
static void packets_that_elicit_nothing_bring_no_ack(void)
{
	struct ack a = fresh();

	receive(&a, 0, false, 100);
	receive(&a, 7, false, 100);
	receive(&a, 3, false, 100);
	ack_received(&a, 9, false, QX_ECN_CE, 100);
	T_EQ(a.deadline_ns, QX_NEVER_NS);
	T_EQ(written(&a, ROOM, 100).cnt, 0);
	/* They are named in the next one. */
	receive(&a, 10, true, 100);
	T_EQ(written(&a, ROOM, 200).cnt, 4);
}

static void reordering_is_told_at_once(void)
{
	struct ack a = fresh();

	receive(&a, 5, true, 100); /* nothing to be out of order with */
	T_CHECK(!ack_is_due(&a, 100));
	T_EQ(written(&a, ROOM, 100).largest, 5);
	receive(&a, 6, true, 200);
	T_CHECK(!ack_is_due(&a, 200));
	T_EQ(written(&a, ROOM, 200).largest, 6);

	receive(&a, 8, true, 300); /* a gap */
	T_EQ(a.deadline_ns, 300);
	T_EQ(written(&a, ROOM, 300).cnt, 2);
	receive(&a, 7, true, 400); /* late */
	T_EQ(a.deadline_ns, 400);
	T_EQ(written(&a, ROOM, 400).cnt, 1);
	receive(&a, 9, true, 500); /* all is well again */
	T_EQ(a.deadline_ns, 500 + delay_ns);
	T_EQ(written(&a, ROOM, 500).cnt, 1);

	receive(&a, 3, true, 600); /* very late, and no reason to take 10 for early */
	T_EQ(written(&a, ROOM, 600).cnt, 2);
	receive(&a, 10, true, 700);
	T_EQ(a.deadline_ns, 700 + delay_ns);
}

/* The gap between 1 and 4 is filled by packets that elicit nothing. */
static void what_elicits_nothing_leaves_no_gap(void)
{
	struct ack a = fresh();

	receive(&a, 1, true, 100);
	T_EQ(written(&a, ROOM, 100).largest, 1);
	receive(&a, 2, false, 200);
	receive(&a, 3, false, 200);
	receive(&a, 4, true, 300);
	T_EQ(a.deadline_ns, 300 + delay_ns);
	T_EQ(written(&a, ROOM, 300).largest, 4);
	/* Nor does what the peer knows already. */
	receive(&a, 5, false, 300);
	ack_confirmed(&a, 5);
	receive(&a, 6, true, 400);
	T_EQ(a.deadline_ns, 400 + delay_ns);
}

static void a_congestion_mark_is_told_at_once(void)
{
	struct ack a = fresh();

	ack_received(&a, 0, true, QX_ECN_CE, 100);
	T_EQ(a.deadline_ns, 100);
}

static void an_ack_names_ranges_and_delay(void)
{
	static const uint8_t want[] = {FRAME_ACK, 21, 0x41, 0xf4, 2, 1, 9, 0, 3, 4};
	uint8_t frame[ROOM];
	struct ack a = fresh();

	for (uint64_t pn = 0; pn < 5; pn++)
		receive(&a, pn, true, 0);
	receive(&a, 9, true, 0);
	receive(&a, 20, true, 0);
	receive(&a, 21, true, 1 * MS);
	/* 4 ms after the largest came, in units of 2^3 us. */
	T_EQ(ack_write(&a, frame, ROOM, EXPONENT, 5 * MS), sizeof(want));
	T_CHECK(memcmp(frame, want, sizeof(want)) == 0);
	/* Said once. */
	T_EQ(ack_write(&a, frame, ROOM, EXPONENT, 6 * MS), 0);
}

static void ecn_counts_are_told_once_there_are_any(void)
{
	struct ack a = fresh();
	struct parsed p;

	ack_received(&a, 0, true, QX_ECN_NOT_ECT, 0);
	T_EQ(written(&a, ROOM, 0).type, FRAME_ACK);
	for (uint64_t pn = 1; pn < 101; pn++)
		ack_received(&a, pn, true, QX_ECN_ECT0, 0);
	ack_received(&a, 101, true, QX_ECN_ECT1, 0);
	ack_received(&a, 102, true, QX_ECN_ECT1, 0);
	ack_received(&a, 103, true, QX_ECN_CE, 0);
	p = written(&a, ROOM, 0);
	T_EQ(p.type, FRAME_ACK_ECN);
	T_EQ(p.ecn[0], 100);
	T_EQ(p.ecn[1], 2);
	T_EQ(p.ecn[2], 1);
}

/* RFC 9000 section 13.2.3: the newest ranges matter most. */
static void in_a_small_room_the_oldest_ranges_go(void)
{
	uint32_t last_cnt = 0, whole_bytes;
	struct ack a = fresh(), b;
	uint8_t frame[ROOM];

	for (uint64_t pn = 0; pn < 40; pn++)
		ack_received(&a, 1000 * pn, true, QX_ECN_ECT0, 0);
	for (uint32_t room = 0; room < 200; room++) {
		struct ack copy = a;
		struct parsed p = written(&copy, room, 100);

		T_CHECK(p.cnt >= last_cnt);
		last_cnt = p.cnt;
		T_EQ(copy.deadline_ns, p.cnt ? QX_NEVER_NS : a.deadline_ns);
		for (uint32_t i = 0; i < p.cnt; i++)
			T_EQ(p.ranges[i].start, 1000 * (39 - i));
	}
	T_EQ(last_cnt, 40);
	/* To the byte. */
	b = a;
	whole_bytes = ack_write(&b, frame, ROOM, EXPONENT, 100);
	b = a;
	T_EQ(written(&b, whole_bytes, 100).cnt, 40);
	T_EQ(written(&a, whole_bytes - 1, 100).cnt, 39);
}

static void a_number_counts_once(void)
{
	struct ack a = fresh();

	T_CHECK(!ack_is_duplicate(&a, 0));
	receive(&a, 0, true, 0);
	receive(&a, 5, true, 0);
	T_CHECK(ack_is_duplicate(&a, 0) && ack_is_duplicate(&a, 5));
	T_CHECK(!ack_is_duplicate(&a, 3) && !ack_is_duplicate(&a, 6));
	T_CHECK(!ack_is_duplicate(&a, QX_VARINT_MAX));
	receive(&a, QX_VARINT_MAX, true, 0);
	T_CHECK(ack_is_duplicate(&a, QX_VARINT_MAX));
	T_EQ(written(&a, ROOM, 0).largest, QX_VARINT_MAX);
}

/* Bounded memory must not mean that a replay is taken for new. */
static void what_was_forgotten_is_a_duplicate(void)
{
	struct ack a = fresh();
	uint64_t pn;

	for (uint64_t i = 0; i < 3 * RANGES_MAX; i++) {
		receive(&a, 10 * i + 100, true, 0);
		for (uint64_t j = 0; j <= i; j++)
			T_CHECK(ack_is_duplicate(&a, 10 * j + 100));
	}
	T_EQ(a.received.cnt, RANGES_MAX);
	/* Above the floor, but below all that there is room for: heard once. */
	pn = a.floor + 1;
	receive(&a, pn, true, 0);
	T_CHECK(ack_is_duplicate(&a, pn) && ack_is_duplicate(&a, pn - 1));
	T_CHECK(!ack_is_duplicate(&a, pn + 2));
	T_EQ(written(&a, ROOM, 0).cnt, RANGES_MAX);
}

static void what_the_peer_knows_is_not_repeated(void)
{
	struct ack a = fresh();
	struct parsed p;

	receive(&a, 0, true, 0);
	receive(&a, 2, true, 0);
	receive(&a, 4, true, 0);
	T_EQ(written(&a, ROOM, 0).cnt, 3);
	receive(&a, 5, true, 0);
	ack_confirmed(&a, 4);
	p = written(&a, ROOM, 0);
	T_EQ(p.cnt, 1);
	T_EQ(p.ranges[0].start, 5);
	/* An older confirmation takes nothing back. */
	ack_confirmed(&a, 2);
	T_EQ(a.report_from, 5);
}

/* A packet overtaken by a whole round trip still counts, and is acknowledged. */
static void a_late_packet_is_welcome_after_the_confirmation(void)
{
	struct ack a = fresh();
	struct parsed p;

	receive(&a, 0, true, 0);
	receive(&a, 9, true, 0);
	T_EQ(written(&a, ROOM, 0).cnt, 2);
	ack_confirmed(&a, 9);
	receive(&a, 4, true, 10);
	T_CHECK(ack_is_due(&a, 10));
	p = written(&a, ROOM, 10);
	T_EQ(p.cnt, 2);
	T_EQ(p.ranges[1].start, 4);
	T_EQ(p.ranges[1].end, 5);
}

/* The confirmation of an older ACK says nothing about a late packet that came after it. */
static void a_confirmation_does_not_cover_what_was_not_said(void)
{
	struct ack a = fresh();
	struct parsed p;

	receive(&a, 0, true, 0);
	receive(&a, 9, true, 0);
	T_EQ(written(&a, ROOM, 0).cnt, 2);
	receive(&a, 4, true, 10);
	ack_confirmed(&a, 9);
	p = written(&a, ROOM, 10);
	T_EQ(p.cnt, 2);
	T_EQ(p.ranges[1].start, 4);
}

/* Any order, with duplicates and losses of ACKs: what is said was received, and what was
 * received is said in the next ACK at the latest. */
static void random_arrivals_are_all_acknowledged(void)
{
	enum {
		SPACE = 3000
	};
	uint64_t seed = 9000;

	for (int round = 0; round < 20; round++) {
		bool got[SPACE] = {false}, told[SPACE] = {false};
		uint64_t base = 0, confirmed_largest = 0;
		struct ack a = fresh();

		for (int step = 0; step < 4000 && base < SPACE - 64; step++) {
			uint64_t pn = base + t_random(&seed) % 24;

			base += t_random(&seed) % 8 == 0;
			if (ack_is_duplicate(&a, pn)) {
				T_CHECK(got[pn] || pn < a.floor);
				continue;
			}
			T_CHECK(!got[pn]);
			got[pn] = true;
			ack_received(&a, pn, true, QX_ECN_NOT_ECT, (uint64_t)step);
			if (t_random(&seed) % 3 == 0) {
				struct parsed p = written(&a, ROOM, (uint64_t)step);

				T_EQ(p.largest, a.largest);
				for (uint32_t i = 0; i < p.cnt; i++)
					for (uint64_t n = p.ranges[i].start;
					     n < p.ranges[i].end; n++) {
						T_CHECK(got[n]);
						told[n] = true;
					}
				for (uint64_t n = 0; n < SPACE; n++)
					T_CHECK(told[n] == got[n] || n < a.floor);
				confirmed_largest = p.largest;
			}
			if (t_random(&seed) % 5 == 0)
				ack_confirmed(&a, confirmed_largest);
		}
	}
}

static const struct t_case cases[] = {
	{"one packet waits for the delay", one_packet_waits_for_the_delay},
	{"every second one is acknowledged at once",
	 every_second_one_is_acknowledged_at_once},
	{"how many make an ACK can be chosen", how_many_make_an_ack_can_be_chosen},
	{"packets that elicit nothing bring no ACK",
	 packets_that_elicit_nothing_bring_no_ack},
	{"reordering is told at once", reordering_is_told_at_once},
	{"what elicits nothing leaves no gap", what_elicits_nothing_leaves_no_gap},
	{"a congestion mark is told at once", a_congestion_mark_is_told_at_once},
	{"an ACK names ranges and delay", an_ack_names_ranges_and_delay},
	{"ECN counts are told once there are any", ecn_counts_are_told_once_there_are_any},
	{"in a small room the oldest ranges go", in_a_small_room_the_oldest_ranges_go},
	{"a number counts once", a_number_counts_once},
	{"what was forgotten is a duplicate", what_was_forgotten_is_a_duplicate},
	{"what the peer knows is not repeated", what_the_peer_knows_is_not_repeated},
	{"a late packet is welcome after the confirmation",
	 a_late_packet_is_welcome_after_the_confirmation},
	{"a confirmation does not cover what was not said",
	 a_confirmation_does_not_cover_what_was_not_said},
	{"random arrivals are all acknowledged", random_arrivals_are_all_acknowledged},
};

T_MAIN(cases)
