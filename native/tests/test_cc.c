/* test_cc.c: congestion control (RFC 9002 section 7, RFC 9438). */
#include "cc.h"
#include "t.h"

static const uint64_t ms = 1000000, s = 1000000000;

enum {
	DATAGRAM = 1200
};

static struct rtt rtt_of(uint64_t rtt_ns)
{
	struct rtt r;

	rtt_init(&r, rtt_ns);
	rtt_sample(&r, rtt_ns, 0, 1);
	return r;
}

static struct cc fresh(const struct cc_ops *ops)
{
	struct cc cc;

	cc_init(&cc, ops, DATAGRAM);
	return cc;
}

static void acked(struct cc *cc, uint64_t bytes, uint64_t now_ns)
{
	const struct rtt rtt = rtt_of(100 * ms);

	cc->ops->acked(cc, bytes, now_ns, false, &rtt, now_ns);
}

/* A busy round trip of 100 ms: the window's worth is acknowledged, two datagrams a frame. */
static void round_trip(struct cc *cc, uint64_t start_ns)
{
	const struct rtt rtt = rtt_of(100 * ms);
	const uint64_t bytes = cc->cwnd_bytes, frames = bytes / (2 * DATAGRAM);

	for (uint64_t i = 1; i <= frames; i++) {
		const uint64_t now_ns = start_ns + 100 * ms * i / frames;

		cc->ops->acked(cc, 2 * DATAGRAM, now_ns - 100 * ms, false, &rtt, now_ns);
	}
}

static double cube_root(double x)
{
	double y = 10;

	for (int i = 0; i < 60; i++)
		y -= (y * y * y - x) / (3 * y * y);
	return y;
}

static bool is_near(double got, double want, double off)
{
	return got > want - off && got < want + off;
}

static const struct cc_ops *const both[] = {&cc_reno, &cc_cubic};

static void initial_window_is_the_rfcs(void)
{
	static const struct {
		uint64_t datagram, window;
	} t[] = {{1200, 12000}, {1472, 14720}, {1500, 14720}, {7360, 14720}, {9000, 18000}};
	struct cc cc;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		cc_init(&cc, &cc_cubic, t[i].datagram);
		T_EQ(cc.cwnd_bytes, t[i].window);
		T_CHECK(cc_in_slow_start(&cc));
	}
}

static void slow_start_adds_what_is_acknowledged(void)
{
	for (int i = 0; i < 2; i++) {
		struct cc cc = fresh(both[i]);

		acked(&cc, 5000, s);
		T_EQ(cc.cwnd_bytes, 17000);
	}
}

static void does_not_grow_while_application_limited(void)
{
	const struct rtt rtt = rtt_of(100 * ms);

	for (int i = 0; i < 2; i++) {
		struct cc cc = fresh(both[i]);

		for (uint64_t n = 0; n < 100; n++)
			cc.ops->acked(&cc, 12000, s + n, true, &rtt, s + n);
		T_EQ(cc.cwnd_bytes, 12000);
		cc.ssthresh_bytes = 12000;
		for (uint64_t n = 0; n < 100; n++)
			cc.ops->acked(&cc, 12000, s + n, true, &rtt, s + n);
		T_EQ(cc.cwnd_bytes, 12000);
	}
}

static void one_reduction_per_recovery_period(void)
{
	static const uint64_t reduced[] = {6000, 8400};

	for (int i = 0; i < 2; i++) {
		struct cc cc = fresh(both[i]);

		cc.ops->congested(&cc, 1 * s, 2 * s);
		T_EQ(cc.cwnd_bytes, reduced[i]);
		T_EQ(cc.ssthresh_bytes, reduced[i]);
		cc.ops->congested(&cc, 1 * s + ms, 3 * s);
		cc.ops->congested(&cc, 2 * s, 3 * s);
		T_EQ(cc.cwnd_bytes, reduced[i]);
		cc.ops->congested(&cc, 2 * s + 1, 3 * s);
		T_CHECK(cc.cwnd_bytes < reduced[i]);
	}
}

static void does_not_grow_in_recovery(void)
{
	const struct rtt rtt = rtt_of(100 * ms);

	for (int i = 0; i < 2; i++) {
		struct cc cc = fresh(both[i]);
		uint64_t cwnd;

		cc.ops->congested(&cc, 1 * s, 2 * s);
		cwnd = cc.cwnd_bytes;
		cc.ops->acked(&cc, 1000000, 2 * s, false, &rtt, 2 * s + ms);
		T_EQ(cc.cwnd_bytes, cwnd);
		cc.ops->acked(&cc, cwnd, 2 * s + 1, false, &rtt, 2 * s + 100 * ms);
		T_CHECK(cc.cwnd_bytes > cwnd);
	}
}

static void window_never_falls_below_two_datagrams(void)
{
	for (int i = 0; i < 2; i++) {
		struct cc cc = fresh(both[i]);

		for (uint64_t n = 1; n < 100; n++)
			cc.ops->congested(&cc, 2 * n * s, (2 * n + 1) * s);
		T_EQ(cc.cwnd_bytes, 2 * DATAGRAM);
		T_EQ(cc.ssthresh_bytes, 2 * DATAGRAM);
	}
}

static void window_has_an_upper_bound(void)
{
	for (int i = 0; i < 2; i++) {
		struct cc cc = fresh(both[i]);

		for (uint64_t n = 1; n < 100; n++)
			acked(&cc, CC_WINDOW_MAX_BYTES, n * s);
		T_EQ(cc.cwnd_bytes, CC_WINDOW_MAX_BYTES);
		/* And the arithmetic holds up there. */
		cc.ops->congested(&cc, 200 * s, 201 * s);
		T_CHECK(cc.cwnd_bytes < CC_WINDOW_MAX_BYTES);
		for (uint64_t n = 0; n < 100; n++)
			acked(&cc, CC_WINDOW_MAX_BYTES, (300 + 100 * n) * s);
		T_CHECK(cc.cwnd_bytes <= CC_WINDOW_MAX_BYTES);
		T_CHECK(cc.cwnd_bytes >= CC_WINDOW_MAX_BYTES / 2);
	}
}

static void persistent_congestion_collapses_the_window(void)
{
	for (int i = 0; i < 2; i++) {
		struct cc cc = fresh(both[i]);

		acked(&cc, 88000, s);
		cc.ops->congested(&cc, 1 * s, 2 * s);
		cc.ops->persistent(&cc);
		T_EQ(cc.cwnd_bytes, 2 * DATAGRAM);
		T_CHECK(cc_in_slow_start(&cc));
		/* Nothing predates the recovery any more. */
		acked(&cc, DATAGRAM, 1 * s);
		T_EQ(cc.cwnd_bytes, 3 * DATAGRAM);
	}
}

static void reno_adds_a_datagram_per_window(void)
{
	struct cc cc = fresh(&cc_reno);

	cc.ssthresh_bytes = cc.cwnd_bytes;
	for (uint64_t n = 0; n < 9; n++)
		acked(&cc, DATAGRAM, s);
	T_EQ(cc.cwnd_bytes, 12000);
	acked(&cc, DATAGRAM, s);
	T_EQ(cc.cwnd_bytes, 13200);
	acked(&cc, 13200 + 14400, s);
	T_EQ(cc.cwnd_bytes, 15600);
}

/* A cubic sender of cwnd bytes that has just lost, and its round trips since. */
static struct cc after_loss(uint64_t cwnd_bytes, uint64_t now_ns)
{
	struct cc cc = fresh(&cc_cubic);

	cc.cwnd_bytes = cwnd_bytes;
	cc.ops->congested(&cc, now_ns - 1, now_ns);
	return cc;
}

static void cubic_follows_its_curve(void)
{
	const double w_max = 2000 * DATAGRAM;
	struct cc cc = after_loss(2000 * DATAGRAM, 10 * s);
	const double k_s = cube_root(2000 * 0.3 / 0.4);
	uint64_t start_ns = 0;

	T_EQ(cc.cwnd_bytes, 1400 * DATAGRAM);
	for (uint64_t n = 1; n <= 200; n++) {
		double from_k_s, want;

		round_trip(&cc, 10 * s + n * 100 * ms);
		if (n == 1) {
			start_ns = cc.u.cubic.epoch_start_ns;
			T_CHECK(is_near((double)cc.u.cubic.k_ms / 1000, k_s, 0.002));
		}
		/* Aimed a round trip ahead, it is on the curve when that has passed. */
		from_k_s = (double)(10 * s + (n + 1) * 100 * ms - start_ns) / 1e9 - k_s;
		want = w_max + 0.4 * from_k_s * from_k_s * from_k_s * DATAGRAM;
		if (!is_near((double)cc.cwnd_bytes, want, 0.001 * want))
			T_FAIL("round %d: %.0f, not %.0f", (int)n, (double)cc.cwnd_bytes,
			       want);
	}
}

/* How much the window grows in round n after the loss of a window of 2000 datagrams, whose
 * K is 11.4 s: round 114. */
static uint64_t growth_in_round(uint64_t n)
{
	struct cc cc = after_loss(2000 * DATAGRAM, 10 * s);
	uint64_t before;

	for (uint64_t i = 1; i < n; i++)
		round_trip(&cc, 10 * s + i * 100 * ms);
	before = cc.cwnd_bytes;
	round_trip(&cc, 10 * s + n * 100 * ms);
	return cc.cwnd_bytes - before;
}

static void cubic_flattens_at_the_old_maximum(void)
{
	const uint64_t plateau = growth_in_round(114);

	T_CHECK(growth_in_round(2) > 10 * plateau);   /* concave */
	T_CHECK(growth_in_round(220) > 10 * plateau); /* convex */
}

static void cubic_is_no_slower_than_reno(void)
{
	/* A small window: K is long against Reno's way back. */
	struct cc cubic = after_loss(20 * DATAGRAM, 10 * s);
	uint64_t n;

	/* alpha is 9/17 of a datagram a round trip up to the old window, then one. */
	for (n = 1; cubic.cwnd_bytes < 20 * DATAGRAM; n++)
		round_trip(&cubic, 10 * s + n * 100 * ms);
	T_CHECK(n >= 9 && n <= 14);
	for (uint64_t i = 0; i < 5; i++)
		round_trip(&cubic, 10 * s + (n + i) * 100 * ms);
	T_CHECK(cubic.cwnd_bytes >= 24 * DATAGRAM && cubic.cwnd_bytes <= 26 * DATAGRAM);
}

static void fast_convergence_lowers_the_plateau(void)
{
	struct cc cc = after_loss(1000 * DATAGRAM, 10 * s);

	T_EQ(cc.u.cubic.w_max_bytes, 1000 * DATAGRAM);
	cc.ops->congested(&cc, 11 * s, 12 * s);
	T_EQ(cc.u.cubic.w_max_bytes, 595 * DATAGRAM);
	cc.cwnd_bytes = 600 * DATAGRAM;
	cc.ops->congested(&cc, 13 * s, 14 * s);
	T_EQ(cc.u.cubic.w_max_bytes, 600 * DATAGRAM);
}

static void cubic_grows_by_half_a_window_per_rtt_at_most(void)
{
	struct cc cc = after_loss(100 * DATAGRAM, 10 * s);

	for (uint64_t n = 1; n <= 400; n++) {
		const uint64_t cwnd = cc.cwnd_bytes;

		round_trip(&cc, 10 * s + n * 100 * ms);
		T_CHECK(cc.cwnd_bytes <= 2 * cwnd);
	}
}

static void idle_time_is_not_on_the_curve(void)
{
	const struct rtt rtt = rtt_of(100 * ms);
	struct cc idle = after_loss(2000 * DATAGRAM, 10 * s);
	struct cc limited = idle;
	uint64_t cwnd;

	for (uint64_t n = 1; n <= 10; n++) {
		round_trip(&idle, 10 * s + n * 100 * ms);
		round_trip(&limited, 10 * s + n * 100 * ms);
	}
	cwnd = idle.cwnd_bytes;
	T_EQ(limited.cwnd_bytes, cwnd);
	/* An hour of silence, an hour of little. */
	for (uint64_t n = 0; n < 3600; n++)
		limited.ops->acked(&limited, DATAGRAM, 12 * s + n * s, true, &rtt,
				   12 * s + n * s + 100 * ms);
	round_trip(&idle, 3612 * s);
	round_trip(&limited, 3612 * s);
	T_CHECK(idle.cwnd_bytes < cwnd + cwnd / 20);
	T_CHECK(limited.cwnd_bytes < cwnd + cwnd / 20);
}

static void leaving_slow_start_without_loss_starts_at_the_plateau(void)
{
	struct cc cc = fresh(&cc_cubic);

	cc.ssthresh_bytes = 12000;
	acked(&cc, DATAGRAM, 10 * s);
	T_EQ(cc.u.cubic.k_ms, 0);
	T_EQ(cc.u.cubic.w_max_bytes, 12000);
}

static const struct t_case cases[] = {
	{"the initial window is the RFC's", initial_window_is_the_rfcs},
	{"slow start adds what is acknowledged", slow_start_adds_what_is_acknowledged},
	{"the window does not grow while application limited",
	 does_not_grow_while_application_limited},
	{"one reduction per recovery period", one_reduction_per_recovery_period},
	{"the window does not grow in recovery", does_not_grow_in_recovery},
	{"the window never falls below two datagrams",
	 window_never_falls_below_two_datagrams},
	{"the window has an upper bound, and arithmetic holds there",
	 window_has_an_upper_bound},
	{"persistent congestion collapses the window",
	 persistent_congestion_collapses_the_window},
	{"reno adds a datagram per window", reno_adds_a_datagram_per_window},
	{"cubic follows its curve", cubic_follows_its_curve},
	{"cubic flattens at the old maximum", cubic_flattens_at_the_old_maximum},
	{"cubic is no slower than reno in reno's region", cubic_is_no_slower_than_reno},
	{"fast convergence lowers the plateau", fast_convergence_lowers_the_plateau},
	{"cubic grows by a bounded part of the window per round trip",
	 cubic_grows_by_half_a_window_per_rtt_at_most},
	{"idle and limited time is not on the curve", idle_time_is_not_on_the_curve},
	{"leaving slow start without a loss starts at the plateau",
	 leaving_slow_start_without_loss_starts_at_the_plateau},
};
T_MAIN(cases)
