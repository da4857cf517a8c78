/* test_recovery_window.c: what losses, marks, paths and holes say about the window. */
#include "recovery_side.h"

/* ---- Congestion ---- */

static void foreign_bytes_share_the_window(void)
{
	begin_test();
	r.foreign_in_flight_bytes = 5000;
	send_at(s);
	T_EQ(recovery_window(&r), 12000 - 5000 - DATAGRAM);
	r.foreign_in_flight_bytes = 50000;
	T_EQ(recovery_window(&r), 0);
}

static void a_full_window_grows_and_a_part_of_it_does_not(void)
{
	begin_test();
	send_many(4, s);
	ack(0, 3, s + 40 * ms);
	T_EQ(r.cc.cwnd_bytes, 12000);
	send_many(10, 2 * s);
	ack(4, 13, 2 * s + 40 * ms);
	T_EQ(r.cc.cwnd_bytes, 24000);
	/* What was sent when there was room again. */
	send_many(3, 3 * s);
	ack(14, 16, 3 * s + 40 * ms);
	T_EQ(r.cc.cwnd_bytes, 24000);
}

static void waiting_for_the_pacer_is_not_application_limited(void)
{
	uint64_t now_ns = 2 * s;

	begin_test();
	r.cc.cwnd_bytes = 48000;
	send_at(s);
	ack(0, 0, s + 100 * ms);
	/* Paced as fast as it goes, for the 4/5 of a round trip that it may take. */
	while (now_ns < 2 * s + 60 * ms) {
		if (pacer_room(&r.pacer, now_ns) >= DATAGRAM)
			send_at(now_ns);
		else
			now_ns = pacer_next_ns(&r.pacer, DATAGRAM, now_ns);
	}
	T_CHECK(recovery_window(&r) >= DATAGRAM);
	ack(1, 10, 2 * s + 100 * ms);
	T_EQ(r.cc.cwnd_bytes, 48000 + 10 * DATAGRAM);
}

static void one_flight_of_losses_is_one_reduction(void)
{
	begin_test();
	send_many(10, s);
	ack(4, 4, s + 10 * ms);
	T_EQ(r.cc.cwnd_bytes, 6000);
	ack(9, 9, s + 11 * ms);
	T_EQ(r.lost_packets, 6);
	T_EQ(r.cc.cwnd_bytes, 6000);
}

/* Three packets a time apart, all lost, with an RTT known or not and one between acked. */
static void run_of_losses(uint64_t apart_ns, bool sampled, bool acked_between)
{
	uint64_t first;

	begin_test();
	r.cc.cwnd_bytes = 100000;
	if (sampled) {
		send_at(s);
		ack(0, 0, s + 40 * ms);
	}
	first = send_at(2 * s);
	send_at(2 * s + apart_ns / 2);
	if (acked_between) {
		ack(first + 1, first + 1, 2 * s + apart_ns / 2 + 40 * ms);
		r.rtt.variance_ns = 20 * ms; /* as without that sample */
	}
	send_at(2 * s + apart_ns);
	send_many(3, 2 * s + apart_ns + 100 * ms);
	ack(first + 5, first + 5, 2 * s + apart_ns + 140 * ms);
	T_CHECK(lost_cnt[first] == 1 && lost_cnt[first + 2] == 1);
}

static void persistent_congestion_has_its_conditions(void)
{
	static const struct {
		uint64_t apart_ms;
		bool sampled, acked_between;
	} not[] = {{375, true, false}, {10000, true, true}, {10000, false, false}};

	/* A PTO is 40 + 4 * 15 + 25 ms once the last sample has been taken. */
	for (size_t i = 0; i < sizeof(not) / sizeof(not[0]); i++) {
		run_of_losses(not[i].apart_ms * ms, not[i].sampled, not[i].acked_between);
		T_EQ(r.persistent_cnt, 0);
		T_CHECK(r.cc.cwnd_bytes > 10 * DATAGRAM);
		end_test();
	}
	run_of_losses(375 * ms + 1, true, false);
	T_EQ(r.persistent_cnt, 1);
	T_EQ(r.cc.cwnd_bytes, 2 * DATAGRAM);
	T_EQ(r.rtt.min_ns, r.rtt.latest_ns);
}

static void a_run_of_losses_goes_on_over_two_acks(void)
{
	begin_test();
	r.cc.cwnd_bytes = 100000;
	send_at(s);
	ack(0, 0, s + 40 * ms);
	send_at(2 * s);      /* 1 */
	send_at(2 * s + ms); /* 2 */
	send_at(3 * s);      /* 3 */
	send_many(3, 3 * s); /* 4, 5, 6 */
	ack(4, 4, 3 * s + 40 * ms);
	T_CHECK(r.lost_packets == 2); /* 1, and 2 for its age */
	T_EQ(r.persistent_cnt, 0);
	ack(6, 6, 3 * s + 41 * ms);
	T_EQ(r.lost_packets, 3);
	T_EQ(r.persistent_cnt, 1);
}

/* ---- ECN ---- */

static void a_ce_mark_is_a_congestion(void)
{
	begin_test();
	for (int i = 0; i < 10; i++)
		send_as(s + (uint64_t)i, DATAGRAM, FLAGS | SENT_ECT);
	ack_ecn(0, 4, 4, 0, 1, s + 40 * ms);
	T_EQ(r.cc.cwnd_bytes, 6000);
	T_EQ(r.ecn_acked[QX_ECN_CE], 1);
	/* Marks of packets from before the reduction are the same congestion. */
	ack_ecn(0, 6, 5, 0, 2, s + 41 * ms);
	T_EQ(r.cc.cwnd_bytes, 6000);
	send_as(2 * s, DATAGRAM, FLAGS | SENT_ECT);
	ack_ecn(7, 10, 8, 0, 3, 2 * s + 40 * ms);
	T_EQ(r.cc.cwnd_bytes, 3000);
	T_CHECK(!r.ecn_failed);
}

static bool ecn_fails(uint64_t first_ect0, uint64_t ect0, uint64_t ect1, uint64_t ce)
{
	bool failed;

	begin_test();
	for (int i = 0; i < 10; i++)
		send_as(s, DATAGRAM, FLAGS | SENT_ECT);
	ack_ecn(0, 4, first_ect0, 0, 0, s + 40 * ms);
	ack_ecn(5, 9, ect0, ect1, ce, s + 41 * ms);
	failed = r.ecn_failed;
	if (failed)
		T_CHECK(r.ecn_acked[QX_ECN_CE] == 0);
	end_test();
	return failed;
}

static void ecn_counts_must_fit_what_was_sent(void)
{
	T_CHECK(!ecn_fails(5, 10, 0, 0));
	T_CHECK(!ecn_fails(5, 5, 0, 5));
	T_CHECK(ecn_fails(4, 9, 0, 0));  /* too few at first */
	T_CHECK(ecn_fails(5, 9, 0, 0));  /* later */
	T_CHECK(ecn_fails(5, 4, 0, 6));  /* falling */
	T_CHECK(ecn_fails(5, 10, 0, 1)); /* more than were sent */
	T_CHECK(ecn_fails(5, QX_VARINT_MAX, 0, QX_VARINT_MAX));
	T_CHECK(ecn_fails(5, 10, 1, 0)); /* never sent */
	begin_test();
	send_as(s, DATAGRAM, FLAGS | SENT_ECT);
	ack(0, 0, s + 40 * ms); /* no counts at all */
	T_CHECK(r.ecn_failed);
}

static void a_failed_validation_reduces_nothing(void)
{
	begin_test();
	send_many(10, s);
	ack_ecn(0, 9, 0, 0, 7, s + 40 * ms);
	T_CHECK(r.ecn_failed);
	T_EQ(r.cc.cwnd_bytes, 24000);
}

static void overtaken_counts_are_not_looked_at(void)
{
	begin_test();
	for (int i = 0; i < 10; i++)
		send_as(s, DATAGRAM, FLAGS | SENT_ECT);
	ack_ecn(8, 9, 10, 0, 0, s + 40 * ms);
	ack_ecn(7, 8, 3, 0, 0, s + 41 * ms);
	T_CHECK(!r.ecn_failed);
	T_EQ(r.ecn_acked[QX_ECN_ECT0], 10);
}

/* ---- Holes, paths, 0-RTT ---- */

static void an_adopted_packet_is_one_like_others(void)
{
	struct sent_packet draft = {0};
	const struct sent_item item = {.type = ITEM_CONTROL, .off = 500};
	uint64_t pn;

	begin_test();
	send_at(s);
	T_EQ(sent_reserve(&r.sent, &pn), 0);
	send_at(s);
	T_EQ(sent_add(&r.sent, &draft, &item), 0);
	recovery_adopt(&r, pn, &draft, s + ms, 300, FLAGS);
	T_EQ(r.last_eliciting_ns, s + ms);
	T_EQ(r.sent.in_flight_bytes, 2 * DATAGRAM + 300);
	ack(0, 2, s + 40 * ms);
	T_EQ(acked_cnt[500], 1);
	T_EQ(r.sent.oldest, 3);
}

static void a_hole_that_was_left_behind_loses_what_comes_late(void)
{
	struct sent_packet draft = {0};
	const struct sent_item item = {.type = ITEM_CONTROL, .off = 500};
	uint64_t pn;

	begin_test();
	T_EQ(sent_reserve(&r.sent, &pn), 0);
	send_many(4, s);
	ack(1, 2, s + 40 * ms);
	T_CHECK(sent_at(&r.sent, pn)->flags & SENT_RESERVED);
	ack(1, 4, s + 41 * ms);
	T_EQ(r.sent.oldest, 5);
	T_EQ(sent_add(&r.sent, &draft, &item), 0);
	recovery_adopt(&r, pn, &draft, s + 42 * ms, 300, FLAGS);
	T_EQ(lost_cnt[500], 1);
	T_EQ(r.sent.in_flight_bytes, 0);
	T_EQ(r.lost_packets, 0);
}

static void a_hole_may_be_acknowledged(void)
{
	uint64_t pn;

	/* The close packet: sealed, sent, never registered. */
	begin_test();
	send_at(s);
	T_EQ(sent_reserve(&r.sent, &pn), 0);
	ack(0, pn, s + 40 * ms);
	T_EQ(r.acked_packets, 1);
	T_EQ(acked_cnt[0], 1);
}

static void rejected_zero_rtt_is_lost_without_congestion(void)
{
	begin_test();
	send_as(s, DATAGRAM, FLAGS | SENT_ZERO_RTT);
	send_at(s);
	send_as(s, DATAGRAM, FLAGS | SENT_ZERO_RTT);
	recovery_lose_zero_rtt(&r, s + ms);
	T_EQ(lost_cnt[0] + lost_cnt[2], 2);
	T_EQ(lost_cnt[1], 0);
	T_EQ(r.sent.in_flight_bytes, DATAGRAM);
	T_EQ(r.cc.cwnd_bytes, 12000);
	T_EQ(r.lost_packets, 0);
	ack(1, 1, s + 40 * ms);
	T_EQ(r.sent.oldest, 3);
}

static void a_new_path_starts_anew(void)
{
	begin_test();
	send_many(10, s);
	ack(0, 0, s + 40 * ms);
	T_CHECK(r.rtt.sampled);
	recovery_reset_path(&r, 2 * s);
	T_EQ(r.cc.cwnd_bytes, 12000);
	T_EQ(recovery_window(&r), 12000);
	T_CHECK(!r.rtt.sampled);
	T_EQ(r.rtt.smoothed_ns, 100 * ms);
	/* The old path's packets are told about, and no more. */
	ack(9, 9, 2 * s + ms);
	T_CHECK(!r.rtt.sampled);
	T_EQ(r.cc.cwnd_bytes, 12000);
	T_EQ(r.sent.in_flight_bytes, 0);
	T_CHECK(lost_cnt[1] == 1 && acked_cnt[9] == 1);
	send_at(3 * s);
	ack(10, 10, 3 * s + 10 * ms);
	T_EQ(r.rtt.latest_ns, 10 * ms);
}

/* ---- All together ---- */

static void check_sums(void)
{
	uint64_t in_flight = 0, eliciting = 0;

	for (uint64_t pn = r.sent.oldest; pn < r.sent.next; pn++) {
		const struct sent_packet *p = sent_at(&r.sent, pn);

		T_CHECK(!(p->flags & SENT_ACKED));
		if (p->flags & SENT_IN_FLIGHT)
			in_flight += p->size_bytes;
		if (p->flags & SENT_ELICITING)
			eliciting++;
	}
	T_EQ(r.sent.in_flight_bytes, in_flight);
	T_EQ(r.sent.eliciting_cnt, eliciting);
}

/* A path of 20 ms with loss and reordering, a peer that acknowledges what it has got in
 * up to eight ranges, losing ACKs too; ends when everything has arrived or been resent. */
static void lossy_transfer(const struct cc_ops *cc, uint64_t seed)
{
	enum {
		CNT = 6000,
		DEPTH = 8
	};
	static uint64_t arrival_ns[FATE_MAX];
	static bool got[FATE_MAX];
	uint64_t now_ns = s, next_ack_ns = s, checked = 0;

	begin_with(cc);
	r.confirmed = true;
	memset(got, 0, sizeof(got));
	while (r.sent.next < CNT || r.sent.eliciting_cnt > 0) {
		while (r.sent.next < CNT + 4000 &&
		       (r.probes || (r.sent.next < CNT && recovery_window(&r) >= DATAGRAM &&
				     pacer_room(&r.pacer, now_ns) >= DATAGRAM))) {
			const uint64_t pn = send_at(now_ns);

			arrival_ns[pn] = now_ns + 10 * ms + t_random(&seed) % (2 * ms);
			if (t_random(&seed) % 20 == 0)
				arrival_ns[pn] = UINT64_MAX;
		}
		now_ns += ms / 4;
		for (uint64_t pn = checked; pn < r.sent.next; pn++)
			got[pn] |= arrival_ns[pn] <= now_ns;
		if (now_ns >= next_ack_ns && t_random(&seed) % 10) {
			struct {
				uint64_t lo, hi;
			} ranges[DEPTH];
			uint32_t cnt = 0;

			for (uint64_t pn = r.sent.next; pn-- > 0 && cnt <= DEPTH;) {
				if (!got[pn])
					continue;
				if (cnt && ranges[cnt - 1].lo == pn + 1)
					ranges[cnt - 1].lo = pn;
				else if (cnt++ < DEPTH)
					ranges[cnt - 1].lo = ranges[cnt - 1].hi = pn;
			}
			cnt = cnt > DEPTH ? DEPTH : cnt;
			if (cnt) {
				frame(ranges[0].hi, 0, cnt - 1, ranges[0].hi - ranges[0].lo);
				for (uint32_t i = 1; i < cnt; i++) {
					more(ranges[i - 1].lo - ranges[i].hi - 2);
					more(ranges[i].hi - ranges[i].lo);
				}
				T_EQ(take(false, now_ns), 0);
			}
			next_ack_ns = now_ns + 2 * ms;
		}
		recovery_on_timer(&r, now_ns);
		check_sums();
		checked = r.sent.oldest > 300 ? r.sent.oldest - 300 : 0;
		T_CHECK(now_ns < 3000 * s);
	}
	for (uint64_t pn = 0; pn < r.sent.next; pn++)
		T_EQ(acked_cnt[pn] + lost_cnt[pn], 1);
	T_CHECK(r.lost_packets > CNT / 40 && r.lost_packets < CNT / 4);
	T_EQ(r.acked_packets + r.lost_packets, r.sent.next);
	end_test();
}

static void a_lossy_path_accounts_for_every_packet(void)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		lossy_transfer(seed % 2 ? &cc_cubic : &cc_reno, seed);
	begin_test();
}

static const struct t_case cases[] = {
	{"foreign bytes share the window", foreign_bytes_share_the_window},
	{"a full window grows and a part of it does not",
	 a_full_window_grows_and_a_part_of_it_does_not},
	{"waiting for the pacer is not application limited",
	 waiting_for_the_pacer_is_not_application_limited},
	{"one flight of losses is one reduction", one_flight_of_losses_is_one_reduction},
	{"persistent congestion has its conditions",
	 persistent_congestion_has_its_conditions},
	{"a run of losses goes on over two ACKs", a_run_of_losses_goes_on_over_two_acks},
	{"a CE mark is a congestion", a_ce_mark_is_a_congestion},
	{"ECN counts must fit what was sent", ecn_counts_must_fit_what_was_sent},
	{"a failed validation reduces nothing", a_failed_validation_reduces_nothing},
	{"overtaken counts are not looked at", overtaken_counts_are_not_looked_at},
	{"an adopted packet is one like others", an_adopted_packet_is_one_like_others},
	{"a hole that was left behind loses what comes late",
	 a_hole_that_was_left_behind_loses_what_comes_late},
	{"a hole may be acknowledged", a_hole_may_be_acknowledged},
	{"rejected 0-RTT is lost without congestion",
	 rejected_zero_rtt_is_lost_without_congestion},
	{"a new path starts anew", a_new_path_starts_anew},
	{"a lossy path accounts for every packet", a_lossy_path_accounts_for_every_packet},
};

RECOVERY_MAIN(cases)
