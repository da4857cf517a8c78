/* test_pacer.c: how a window is spread over a round trip (RFC 9002 section 7.7). */
#include "pacer.h"
#include "t.h"

static const uint64_t ms = 1000000, s = 1000000000;

enum {
	DATAGRAM = 1200,
	BURST = 10 * DATAGRAM
};

/* 5/4 of 80,000 bytes in 100 ms: a megabyte a second, a byte a microsecond. */
static struct pacer megabyte(uint64_t now_ns)
{
	struct pacer p;

	pacer_init(&p, BURST);
	pacer_set_rate(&p, 80000, 100 * ms, now_ns);
	return p;
}

static void does_not_pace_before_a_rate_is_known(void)
{
	struct pacer p;

	pacer_init(&p, BURST);
	pacer_sent(&p, 5 * BURST);
	T_CHECK(pacer_room(&p, 1) == UINT64_MAX);
	T_EQ(pacer_next_ns(&p, DATAGRAM, 1), 1);
}

static void fills_at_five_quarters_of_the_window_per_rtt(void)
{
	struct pacer p = megabyte(s);

	T_EQ(p.rate_bytes_per_s, 1000000);
	T_EQ(pacer_room(&p, s), BURST);
	pacer_sent(&p, BURST);
	T_EQ(pacer_room(&p, s), 0);
	T_EQ(pacer_room(&p, s + ms), 1000);
	T_EQ(pacer_room(&p, s + 5 * ms), 5000);
}

static void holds_no_more_than_a_burst(void)
{
	struct pacer p = megabyte(s);

	T_EQ(pacer_room(&p, 1000 * s), BURST);
	T_EQ(pacer_room(&p, UINT64_MAX), BURST);
}

static void holds_a_millisecond_where_that_is_more(void)
{
	struct pacer p;

	pacer_init(&p, BURST);
	pacer_set_rate(&p, 80000, ms, s);
	T_EQ(p.rate_bytes_per_s, 100000000);
	T_EQ(pacer_room(&p, 2 * s), 100000);
	/* And gives it up when the rate falls. */
	pacer_set_rate(&p, 80000, 100 * ms, 2 * s);
	T_EQ(pacer_room(&p, 2 * s), BURST);
}

static void asking_often_loses_nothing(void)
{
	struct pacer p = megabyte(s);

	pacer_sent(&p, BURST);
	for (uint64_t t = 1; t <= 3000000; t += 7)
		pacer_room(&p, s + t);
	T_EQ(pacer_room(&p, s + 3 * ms), 3000);
}

static void a_send_beyond_the_tokens_empties_the_bucket(void)
{
	struct pacer p = megabyte(s);

	pacer_sent(&p, 100 * BURST);
	T_EQ(pacer_room(&p, s), 0);
	T_EQ(pacer_next_ns(&p, DATAGRAM, s), s + 1200000);
}

static void next_time_is_when_there_is_room(void)
{
	uint64_t seed = 7;

	for (int i = 0; i < 20000; i++) {
		const uint64_t cwnd = 2400 + t_random(&seed) % (1 << 30);
		const uint64_t rtt_ns = t_random(&seed) >> (t_random(&seed) % 40 + 24);
		uint64_t now_ns = s, bytes, at_ns;
		struct pacer p;

		pacer_init(&p, BURST);
		pacer_set_rate(&p, cwnd, rtt_ns, now_ns);
		pacer_sent(&p, t_random(&seed) % (2 * BURST));
		now_ns += t_random(&seed) % (10 * ms);
		bytes = 1 + t_random(&seed) % (2 * BURST);
		at_ns = pacer_next_ns(&p, bytes, now_ns);
		if (bytes > p.cap_bytes)
			bytes = p.cap_bytes;
		T_CHECK(at_ns >= now_ns);
		if (at_ns > now_ns + 1) {
			struct pacer early = p;

			T_CHECK(pacer_room(&early, at_ns - 2) < bytes);
		}
		T_CHECK(pacer_room(&p, at_ns) >= bytes);
	}
}

static void more_than_the_bucket_waits_for_a_full_one(void)
{
	struct pacer p = megabyte(s);

	pacer_sent(&p, BURST);
	T_EQ(pacer_next_ns(&p, 5 * BURST, s), s + 12 * ms);
}

static void time_that_steps_back_changes_nothing(void)
{
	struct pacer p = megabyte(s);

	pacer_sent(&p, BURST);
	T_EQ(pacer_room(&p, s - ms), 0);
	T_EQ(pacer_room(&p, s + ms), 1000);
}

static void extreme_rates_neither_overflow_nor_stop(void)
{
	struct pacer p;

	pacer_init(&p, BURST);
	pacer_set_rate(&p, UINT64_C(1) << 30, 0, s);
	T_CHECK(pacer_room(&p, s + s - 1) >= BURST);
	pacer_set_rate(&p, 2400, UINT64_C(1) << 62, 2 * s);
	pacer_sent(&p, UINT64_MAX);
	T_EQ(pacer_room(&p, 2 * s), 0);
	T_EQ(pacer_room(&p, 3 * s), 1);
}

/* At 8 Gbit/s a datagram takes 1.2 us, and a timer for each would be all that is done. */
static void a_timer_waits_for_more_than_one_datagram(void)
{
	struct pacer p;

	pacer_init(&p, BURST);
	pacer_set_rate(&p, 800000, ms, s);
	T_EQ(p.rate_bytes_per_s, 1000000000);
	pacer_sent(&p, pacer_room(&p, s));
	T_EQ(pacer_next_ns(&p, DATAGRAM, s), s + 1200);
	T_EQ(pacer_wake_ns(&p, DATAGRAM, s), s + ms / 2);
	/* Where a datagram takes longer, it is what is waited for. */
	p = megabyte(s);
	pacer_sent(&p, BURST);
	T_EQ(pacer_wake_ns(&p, DATAGRAM, s), s + 1200000);
}

static const struct t_case cases[] = {
	{"does not pace before a rate is known", does_not_pace_before_a_rate_is_known},
	{"fills at five quarters of the window per RTT",
	 fills_at_five_quarters_of_the_window_per_rtt},
	{"holds no more than a burst", holds_no_more_than_a_burst},
	{"holds a millisecond's worth where that is more",
	 holds_a_millisecond_where_that_is_more},
	{"asking often loses nothing", asking_often_loses_nothing},
	{"a send beyond the tokens empties the bucket",
	 a_send_beyond_the_tokens_empties_the_bucket},
	{"the next time is when there is room, and no earlier one is",
	 next_time_is_when_there_is_room},
	{"more than the bucket holds waits for a full one",
	 more_than_the_bucket_waits_for_a_full_one},
	{"time that steps back changes nothing", time_that_steps_back_changes_nothing},
	{"extreme rates neither overflow nor stop", extreme_rates_neither_overflow_nor_stop},
	{"a timer waits for more than one datagram",
	 a_timer_waits_for_more_than_one_datagram},
};
T_MAIN(cases)
