/* test_recovery.c: acknowledgment, loss detection and PTO of one packet number space
 * (RFC 9002), against peers that acknowledge as they should.  Those that do not:
 * test_recovery_frames.c. */
#include "recovery_side.h"

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
};

RECOVERY_MAIN(cases)
