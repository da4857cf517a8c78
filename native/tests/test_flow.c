/* test_flow.c: credit follows consumption, windows follow need. */
#include "flow.h"

#include "t.h"
#include "varint.h"

enum {
	MS = 1000000
};

/* RFC 9000 section 4.1: "A receiver MUST close the connection with an error of type
 * FLOW_CONTROL_ERROR if the sender violates the advertised ... limits". */
static void data_up_to_the_limit_passes_and_one_byte_more_does_not(void)
{
	struct flow f;

	flow_init(&f, 1000, 4000);
	T_CHECK(flow_received(&f, 600));
	T_CHECK(!flow_received(&f, 401));
	T_CHECK(flow_received(&f, 400));
	T_CHECK(!flow_received(&f, 1));
	T_CHECK(flow_received(&f, 0));
}

/* What counts is what the peer was told, not what we are about to tell it. */
static void a_limit_that_was_not_announced_does_not_count(void)
{
	struct flow f;

	flow_init(&f, 1000, 4000);
	T_CHECK(flow_received(&f, 1000));
	T_CHECK(flow_consumed(&f, 1000, 0, 0));
	T_EQ(f.limit, 2000);
	T_CHECK(!flow_received(&f, 1));
	f.limit_sent = f.limit;
	T_CHECK(flow_received(&f, 1000));
}

/* Arriving gives no credit, reading does, and not for every byte a frame. */
static void the_limit_moves_when_half_the_window_is_consumed(void)
{
	struct flow f;

	flow_init(&f, 1000, 1000);
	flow_received(&f, 1000);
	T_EQ(f.limit, 1000);
	T_CHECK(!flow_consumed(&f, 499, 0, 0));
	T_CHECK(flow_consumed(&f, 1, 0, 0));
	T_EQ(f.limit, 1500);
	T_CHECK(!flow_consumed(&f, 499, 0, 0));
	T_CHECK(flow_consumed(&f, 1, 0, 0));
	T_EQ(f.limit, 2000);
}

/* However small the window, a peer that has used all credit gets more once all is read. */
static void a_peer_without_credit_always_gets_more_when_all_is_read(void)
{
	for (uint64_t window = 1; window < 70; window++) {
		struct flow f;
		uint64_t sum = 0;

		flow_init(&f, window, window);
		while (sum < 1000) {
			uint64_t n = f.limit_sent - f.received;

			T_CHECK(n > 0);
			T_CHECK(flow_received(&f, n));
			sum += n;
			for (uint64_t i = 0; i < n; i++)
				if (flow_consumed(&f, 1, 0, 0))
					f.limit_sent = f.limit;
		}
	}
}

/* Half a window within two round trips: we were the bottleneck. */
static void a_fast_reader_doubles_the_window_up_to_its_maximum(void)
{
	struct flow f;
	uint64_t now = 5 * MS;

	flow_init(&f, 1000, 3000);
	T_CHECK(flow_consumed(&f, 500, 10 * MS, now));
	T_EQ(f.window_bytes, 1000); /* the first move says nothing about pace */
	now += 19 * MS;
	T_CHECK(flow_consumed(&f, 500, 10 * MS, now));
	T_EQ(f.window_bytes, 2000);
	T_EQ(f.limit, 3000);
	now += MS;
	T_CHECK(flow_consumed(&f, 1000, 10 * MS, now));
	T_EQ(f.window_bytes, 3000);
	now += MS;
	T_CHECK(flow_consumed(&f, 1500, 10 * MS, now));
	T_EQ(f.window_bytes, 3000);
}

static void a_slow_reader_keeps_its_window(void)
{
	struct flow f;

	flow_init(&f, 1000, 4000);
	for (uint64_t i = 1; i <= 10; i++)
		T_CHECK(flow_consumed(&f, 500, 10 * MS, i * 20 * MS));
	T_EQ(f.window_bytes, 1000);
}

/* Data that was thrown away gives the connection its credit back, and no larger window. */
static void discarded_bytes_give_credit_and_no_larger_window(void)
{
	struct flow f;

	flow_init(&f, 1000, 4000);
	T_CHECK(!flow_discarded(&f, 400));
	T_CHECK(flow_discarded(&f, 400));
	T_EQ(f.limit, 1800);
	T_EQ(f.window_bytes, 1000);
	T_EQ(f.moved_ns, 0);
}

/* RFC 9000 section 16: no number above 2^62 - 1 can be announced. */
static void limits_stay_below_two_to_the_62nd(void)
{
	struct flow f;

	flow_init(&f, UINT64_MAX, UINT64_MAX);
	T_EQ(f.limit, QX_VARINT_MAX);
	T_CHECK(flow_received(&f, QX_VARINT_MAX));
	T_CHECK(!flow_received(&f, 1));
	T_CHECK(!flow_received(&f, QX_VARINT_MAX));
	T_CHECK(!flow_consumed(&f, QX_VARINT_MAX, 10 * MS, MS));
	T_EQ(f.limit, QX_VARINT_MAX);
}

/* A window of nothing is a legal transport parameter: no stream, no data. */
static void a_window_of_zero_takes_nothing_and_promises_nothing(void)
{
	struct flow f;

	flow_init(&f, 0, 0);
	T_CHECK(flow_received(&f, 0));
	T_CHECK(!flow_received(&f, 1));
	T_CHECK(!flow_consumed(&f, 0, 10 * MS, MS));
	T_EQ(f.limit, 0);
}

static const struct t_case cases[] = {
	{"data up to the limit passes and one byte more does not",
	 data_up_to_the_limit_passes_and_one_byte_more_does_not},
	{"a limit that was not announced does not count",
	 a_limit_that_was_not_announced_does_not_count},
	{"the limit moves when half the window is consumed",
	 the_limit_moves_when_half_the_window_is_consumed},
	{"a peer without credit always gets more when all is read",
	 a_peer_without_credit_always_gets_more_when_all_is_read},
	{"a fast reader doubles the window up to its maximum",
	 a_fast_reader_doubles_the_window_up_to_its_maximum},
	{"a slow reader keeps its window", a_slow_reader_keeps_its_window},
	{"discarded bytes give credit and no larger window",
	 discarded_bytes_give_credit_and_no_larger_window},
	{"limits stay below two to the 62nd", limits_stay_below_two_to_the_62nd},
	{"a window of zero takes nothing and promises nothing",
	 a_window_of_zero_takes_nothing_and_promises_nothing},
};
T_MAIN(cases)
