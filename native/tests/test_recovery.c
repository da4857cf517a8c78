/* test_recovery.c: loss detection, PTO and window of one packet number space (RFC 9002),
 * against peers that acknowledge as they should and as they like. */
#include "recovery.h"
#include "t.h"

static const uint64_t ms = 1000000, s = 1000000000;

enum {
	DATAGRAM = 1200,
	FLAGS = SENT_ELICITING | SENT_IN_FLIGHT,
	FATE_MAX = 1 << 16,
	FRAME_ENCODING_ERROR = 0x07,
	PROTOCOL_VIOLATION = 0x0a,
};

static struct recovery r;
static uint8_t acked_cnt[FATE_MAX], lost_cnt[FATE_MAX]; /* by packet number */
static uint64_t told[FATE_MAX];                         /* the order of reports */
static uint32_t told_cnt;

static void fate(void *arg, const struct sent_item *item, bool acked)
{
	T_CHECK(arg == &r);
	if (item->off >= FATE_MAX)
		return;
	(acked ? acked_cnt : lost_cnt)[item->off]++;
	told[told_cnt++ % FATE_MAX] = item->off;
}

static void begin_with(const struct cc_ops *cc)
{
	memset(acked_cnt, 0, sizeof(acked_cnt));
	memset(lost_cnt, 0, sizeof(lost_cnt));
	told_cnt = 0;
	T_EQ(recovery_init(&r, cc, DATAGRAM, 100 * ms, fate, &r), 0);
	r.max_ack_delay_ns = 25 * ms;
}

static void begin_test(void)
{
	begin_with(&cc_reno);
	r.confirmed = true;
}

static void end_test(void)
{
	recovery_free(&r);
}

static uint64_t send_as(uint64_t now_ns, uint32_t size_bytes, uint8_t flags)
{
	const struct sent_item item = {.type = ITEM_STREAM, .off = r.sent.next};
	struct sent_packet *p = sent_begin(&r.sent);

	T_CHECK(p);
	T_EQ(sent_add(&r.sent, p, &item), 0);
	sent_end(&r.sent, p, now_ns, size_bytes, flags);
	recovery_on_sent(&r, p, now_ns);
	return r.sent.next - 1;
}

static uint64_t send_at(uint64_t now_ns)
{
	return send_as(now_ns, DATAGRAM, FLAGS);
}

static void send_many(uint64_t cnt, uint64_t now_ns)
{
	while (cnt-- > 0)
		send_at(now_ns);
}

/* ---- Frames ---- */

static uint8_t bytes[1 << 16];
static uint8_t *end;

static void frame(uint64_t largest, uint64_t delay, uint64_t range_cnt, uint64_t first)
{
	end = write_varint(bytes, largest);
	end = write_varint(end, delay);
	end = write_varint(end, range_cnt);
	end = write_varint(end, first);
}

static void more(uint64_t v)
{
	end = write_varint(end, v);
}

static uint64_t take(bool ecn, uint64_t now_ns)
{
	struct reader reader = {bytes, end, false};
	const uint64_t error = recovery_on_ack_frame(&r, &reader, ecn, now_ns);

	if (!error)
		T_CHECK(reader.at == end);
	return error;
}

/* Acknowledges [lo, hi]. */
static void ack(uint64_t lo, uint64_t hi, uint64_t now_ns)
{
	frame(hi, 0, 0, hi - lo);
	T_EQ(take(false, now_ns), 0);
}

static void ack_ecn(uint64_t lo, uint64_t hi, uint64_t ect0, uint64_t ect1, uint64_t ce,
		    uint64_t now_ns)
{
	frame(hi, 0, 0, hi - lo);
	more(ect0);
	more(ect1);
	more(ce);
	T_EQ(take(true, now_ns), 0);
}

/* ---- Acknowledgement ---- */

static void tells_every_fate_once_and_in_order(void)
{
	begin_test();
	send_many(10, s);
	frame(9, 0, 2, 0); /* 9, 6-7, 2 */
	more(0);
	more(1);
	more(2);
	more(0);
	T_EQ(take(false, s + 50 * ms), 0);
	ack(2, 9, s + 51 * ms);
	ack(0, 9, s + 52 * ms);
	for (uint64_t pn = 0; pn < 10; pn++)
		T_EQ(acked_cnt[pn] + lost_cnt[pn], 1);
	T_EQ(told_cnt, 10);
	/* One frame's reports ascend: 0, 1 lost, 2 acked, 3, 4, 5 lost, 6, 7 and 9 acked. */
	for (uint32_t i = 1; i < 9; i++)
		T_CHECK(told[i] > told[i - 1]);
	T_EQ(acked_cnt[2] + acked_cnt[6] + acked_cnt[7] + acked_cnt[9] + acked_cnt[8], 5);
	T_EQ(r.sent.in_flight_bytes, 0);
	T_EQ(r.sent.oldest, 10);
	T_EQ(r.acked_packets, 5);
	T_EQ(r.lost_packets, 5);
	T_EQ(r.lost_bytes, 5 * DATAGRAM);
}

static void every_item_of_a_packet_is_told(void)
{
	struct sent_packet *p;

	begin_test();
	p = sent_begin(&r.sent);
	for (uint64_t i = 0; i < 7; i++) {
		const struct sent_item item = {.type = ITEM_STREAM, .off = 100 + i};

		T_EQ(sent_add(&r.sent, p, &item), 0);
	}
	sent_end(&r.sent, p, s, DATAGRAM, FLAGS);
	recovery_on_sent(&r, p, s);
	ack(0, 0, s + ms);
	for (uint64_t i = 0; i < 7; i++)
		T_EQ(acked_cnt[100 + i], 1);
}

static void samples_the_largest_newly_acknowledged(void)
{
	begin_test();
	send_at(s);
	send_at(s + 10 * ms);
	ack(0, 1, s + 40 * ms);
	T_EQ(r.rtt.latest_ns, 30 * ms);
	/* Not again, nor for an older one that arrives late. */
	send_at(s + 50 * ms);
	send_at(s + 50 * ms);
	ack(3, 3, s + 70 * ms);
	T_EQ(r.rtt.latest_ns, 20 * ms);
	ack(2, 3, s + 71 * ms);
	T_EQ(r.rtt.latest_ns, 20 * ms);
	/* Nor for packets that elicit no ACK. */
	send_as(s + 100 * ms, 50, 0);
	ack(4, 4, s + 101 * ms);
	T_EQ(r.rtt.latest_ns, 20 * ms);
}

static void ack_delay_is_scaled_and_limited(void)
{
	begin_test();
	send_at(s);
	ack(0, 0, s + 40 * ms);
	r.ack_delay_exponent = 4;
	send_at(2 * s);
	frame(1, 500, 0, 0); /* 500 << 4 us = 8 ms */
	T_EQ(take(false, 2 * s + 48 * ms), 0);
	T_EQ(r.rtt.smoothed_ns, 40 * ms);
	send_at(3 * s);
	frame(2, 1 << 20, 0, 0); /* 16 s, but 25 ms were promised */
	T_EQ(take(false, 3 * s + 73 * ms), 0);
	T_EQ(r.rtt.smoothed_ns, 41 * ms);
	/* Before confirmation it is taken as it is, here for too much to be believed. */
	r.confirmed = false;
	send_at(4 * s);
	frame(3, QX_VARINT_MAX, 0, 0);
	r.ack_delay_exponent = 255;
	T_EQ(take(false, 4 * s + 41 * ms), 0);
	T_EQ(r.rtt.smoothed_ns, 41 * ms);
}

/* ---- Loss ---- */

static void three_behind_is_lost(void)
{
	begin_test();
	send_many(5, s);
	ack(2, 2, s + 10 * ms);
	T_EQ(r.lost_packets, 0);
	ack(3, 3, s + 11 * ms);
	T_EQ(lost_cnt[0], 1);
	T_EQ(lost_cnt[1], 0);
	ack(4, 4, s + 12 * ms);
	T_EQ(lost_cnt[1], 1);
	T_EQ(r.sent.in_flight_bytes, 0);
}

static void overdue_is_lost_at_the_deadline_and_not_before(void)
{
	begin_test();
	send_at(s);
	send_at(s + ms);
	ack(1, 1, s + 81 * ms); /* 80 ms; 9/8 of it are 90 */
	T_EQ(recovery_deadline(&r), s + 90 * ms);
	recovery_on_timer(&r, s + 90 * ms - 1);
	T_EQ(lost_cnt[0], 0);
	recovery_on_timer(&r, s + 90 * ms);
	T_EQ(lost_cnt[0], 1);
	T_EQ(r.ptos, 0);
	T_CHECK(recovery_deadline(&r) == QX_NEVER_NS);
}

static void what_was_sent_after_the_largest_is_not_lost(void)
{
	begin_test();
	send_at(s);
	send_many(5, s);
	ack(0, 0, s + 10 * ms);
	recovery_on_timer(&r, s + 10 * ms + 1);
	T_EQ(r.lost_packets, 0);
	T_EQ(r.sent.eliciting_cnt, 5);
}

static void a_late_ack_makes_a_loss_spurious(void)
{
	begin_test();
	send_many(8, s);
	ack(5, 7, s + 10 * ms);
	T_EQ(r.lost_packets, 5);
	T_EQ(r.sent.oldest, 8);
	frame(7, 0, 1, 0); /* 7, 1-3 */
	more(2);
	more(2);
	T_EQ(take(false, s + 11 * ms), 0);
	T_EQ(r.spurious_losses, 3);
	T_EQ(take(false, s + 11 * ms), 0);
	T_EQ(r.spurious_losses, 3);
	ack(0, 7, s + 12 * ms);
	T_EQ(r.spurious_losses, 5);
	for (uint64_t pn = 0; pn < 8; pn++)
		T_EQ(acked_cnt[pn] + lost_cnt[pn], 1);
}

static void remembers_only_the_latest_losses(void)
{
	begin_test();
	r.cc.cwnd_bytes = 1 << 20;
	send_many(400, s);
	ack(399, 399, s + 10 * ms);
	T_EQ(r.lost_packets, 397);
	ack(0, 399, s + 11 * ms);
	T_EQ(r.spurious_losses, LOST_LOG_CNT);
	T_EQ(r.lost_log.cnt, 0);
}

static void losses_out_of_order_are_remembered_as_well(void)
{
	uint64_t pn;

	begin_test();
	T_EQ(sent_reserve(&r.sent, &pn), 0);
	send_at(s);
	send_at(s + 50 * ms);
	ack(2, 2, s + 90 * ms); /* 40 ms: 1 is overdue */
	T_EQ(lost_cnt[1], 1);
	recovery_adopt(&r, pn, NULL, s + 91 * ms, 300, FLAGS);
	recovery_on_timer(&r, 2 * s);
	T_EQ(r.lost_packets, 1);
	send_at(2 * s);
	ack(3, 3, 2 * s + 40 * ms);
	T_EQ(r.lost_packets, 2);
	T_EQ(r.lost_log.pns[0], 0);
	T_EQ(r.lost_log.pns[1], 1);
	ack(1, 1, 2 * s + 41 * ms);
	T_EQ(r.spurious_losses, 1);
	ack(0, 1, 2 * s + 42 * ms);
	T_EQ(r.spurious_losses, 2);
}

static void unacknowledged_acks_are_no_losses(void)
{
	begin_test();
	for (int i = 0; i < 10; i++)
		send_as(s, 40, 0);
	send_at(s);
	ack(10, 10, s + 10 * ms);
	T_EQ(r.lost_packets, 0);
	T_EQ(r.cc.cwnd_bytes, 12000);
	T_EQ(r.sent.oldest, 8);
	T_EQ(lost_cnt[0], 1); /* whoever asked is told all the same */
}

/* ---- Probes ---- */

static void pto_owes_one_probe_with_the_oldest_data(void)
{
	uint64_t pto_ns;

	begin_test();
	send_at(s);
	ack(0, 0, s + 40 * ms);
	send_at(2 * s);
	send_at(2 * s + ms);
	pto_ns = 40 * ms + 4 * 20 * ms + 25 * ms;
	T_EQ(recovery_deadline(&r), 2 * s + ms + pto_ns);
	recovery_on_timer(&r, 2 * s + ms + pto_ns - 1);
	T_EQ(r.ptos, 0);
	recovery_on_timer(&r, 2 * s + ms + pto_ns);
	T_EQ(r.ptos, 1);
	T_EQ(r.probes, 1);
	T_EQ(lost_cnt[1], 1);
	T_EQ(lost_cnt[2], 0);
	/* Nothing is lost by it (section 6.2). */
	T_EQ(r.lost_packets, 0);
	T_EQ(r.sent.in_flight_bytes, 2 * DATAGRAM);
	T_EQ(r.cc.cwnd_bytes, 12000);
	send_at(3 * s);
	T_EQ(r.probes, 0);
	T_EQ(recovery_deadline(&r), 3 * s + 2 * pto_ns);
	recovery_on_timer(&r, 3 * s + 2 * pto_ns);
	T_EQ(lost_cnt[2], 1);
	T_EQ(lost_cnt[1], 1);
	send_at(4 * s);
	T_EQ(recovery_deadline(&r), 4 * s + 4 * pto_ns);
	/* An ACK ends the backoff; what carried nothing any more tells nothing. */
	ack(1, 4, 4 * s + 40 * ms);
	T_EQ(r.pto_cnt, 0);
	T_EQ(acked_cnt[1] + acked_cnt[2], 0);
	T_EQ(acked_cnt[3] + acked_cnt[4], 2);
	T_EQ(r.spurious_losses, 0);
}

static void a_packet_that_was_probed_can_still_be_lost(void)
{
	begin_test();
	send_at(s);
	ack(0, 0, s + 40 * ms);
	send_at(2 * s);
	recovery_on_timer(&r, recovery_deadline(&r));
	send_at(3 * s);
	ack(2, 2, 3 * s + 40 * ms);
	T_EQ(r.lost_packets, 1);
	T_EQ(lost_cnt[1], 1);
	T_EQ(r.cc.cwnd_bytes, 12000 / 2);
}

static void pto_waits_for_confirmation(void)
{
	begin_with(&cc_reno);
	send_at(s);
	T_CHECK(recovery_deadline(&r) == QX_NEVER_NS);
	recovery_on_timer(&r, 1000 * s);
	T_EQ(r.ptos, 0);
	recovery_confirm(&r, 0, 2 * s);
	T_EQ(recovery_deadline(&r), s + 300 * ms + 25 * ms);
	T_EQ(r.cc.cwnd_bytes, 12000);
	recovery_confirm(&r, 13200, 2 * s);
	T_EQ(r.cc.cwnd_bytes, 13200);
}

static void pto_needs_something_that_elicits_an_ack(void)
{
	begin_test();
	T_CHECK(recovery_deadline(&r) == QX_NEVER_NS);
	send_as(s, 40, 0);
	T_CHECK(recovery_deadline(&r) == QX_NEVER_NS);
	send_at(s);
	T_EQ(recovery_deadline(&r), s + 325 * ms);
	ack(0, 1, s + ms);
	T_CHECK(recovery_deadline(&r) == QX_NEVER_NS);
}

static void loss_time_comes_before_the_pto(void)
{
	begin_test();
	send_at(s);
	send_at(s);
	send_at(s);
	ack(1, 1, s + 80 * ms);
	T_EQ(recovery_deadline(&r), s + 90 * ms);
	recovery_on_timer(&r, s + 90 * ms);
	T_EQ(r.lost_packets, 1);
	T_EQ(recovery_deadline(&r), s + 80 * ms + 160 * ms + 25 * ms);
}

static void backoff_neither_overflows_nor_ends(void)
{
	begin_test();
	send_at(s);
	for (int i = 0; i < 100; i++) {
		const uint64_t due_ns = recovery_deadline(&r);

		if (due_ns == QX_NEVER_NS)
			break;
		T_CHECK(due_ns > r.last_eliciting_ns);
		recovery_on_timer(&r, due_ns);
	}
	T_EQ(r.ptos, 100);
	r.rtt.smoothed_ns = UINT64_C(1) << 60;
	T_CHECK(recovery_deadline(&r) == QX_NEVER_NS);
}

static void a_probe_passes_a_closed_window(void)
{
	begin_test();
	send_many(10, s);
	T_EQ(recovery_window(&r), 0);
	recovery_on_timer(&r, recovery_deadline(&r));
	T_EQ(recovery_window(&r), DATAGRAM);
	send_at(2 * s);
	T_EQ(recovery_window(&r), 0);
}

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

/* ---- Hostile frames ---- */

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
	{"tells every fate once and in order", tells_every_fate_once_and_in_order},
	{"every item of a packet is told", every_item_of_a_packet_is_told},
	{"samples the largest newly acknowledged", samples_the_largest_newly_acknowledged},
	{"the ACK delay is scaled and limited", ack_delay_is_scaled_and_limited},
	{"three behind is lost", three_behind_is_lost},
	{"overdue is lost at the deadline and not before",
	 overdue_is_lost_at_the_deadline_and_not_before},
	{"what was sent after the largest is not lost",
	 what_was_sent_after_the_largest_is_not_lost},
	{"a late ACK makes a loss spurious", a_late_ack_makes_a_loss_spurious},
	{"remembers only the latest losses", remembers_only_the_latest_losses},
	{"losses out of order are remembered as well",
	 losses_out_of_order_are_remembered_as_well},
	{"unacknowledged ACKs are no losses", unacknowledged_acks_are_no_losses},
	{"a PTO owes one probe with the oldest data",
	 pto_owes_one_probe_with_the_oldest_data},
	{"a packet that was probed can still be lost",
	 a_packet_that_was_probed_can_still_be_lost},
	{"the PTO waits for confirmation", pto_waits_for_confirmation},
	{"the PTO needs something that elicits an ACK",
	 pto_needs_something_that_elicits_an_ack},
	{"the loss time comes before the PTO", loss_time_comes_before_the_pto},
	{"the backoff neither overflows nor ends", backoff_neither_overflows_nor_ends},
	{"a probe passes a closed window", a_probe_passes_a_closed_window},
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
	{"a number never sent is a violation", a_number_never_sent_is_a_violation},
	{"ranges below zero are malformed", ranges_below_zero_are_malformed},
	{"truncated frames are malformed", truncated_frames_are_malformed},
	{"thousands of ranges are taken", thousands_of_ranges_are_taken},
	{"what an ACK costs does not depend on history",
	 what_an_ack_costs_does_not_depend_on_history},
	{"random frames break nothing", random_frames_break_nothing},
	{"a lossy path accounts for every packet", a_lossy_path_accounts_for_every_packet},
};

int main(int argc, char **argv)
{
	t_after_each = end_test;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
