/* test_rtt.c: the RTT estimate (RFC 9002 section 5). */
#include "t.h"
#include "rtt.h"

enum {
	MS = 1000000
};

static struct rtt fresh(void)
{
	struct rtt r;

	rtt_init(&r, 333 * MS);
	return r;
}

static void starts_from_the_initial_rtt(void)
{
	struct rtt r = fresh();

	T_CHECK(!r.sampled);
	T_EQ(rtt_pto(&r, 0), 333 * MS + 2 * (333 * MS / 2 * 2));
	T_EQ(rtt_loss_delay(&r), 333 * MS + 333 * MS / 8);
}

static void first_sample_replaces_it(void)
{
	struct rtt r = fresh();

	rtt_sample(&r, 40 * MS, 25 * MS, 7);
	T_CHECK(r.sampled);
	T_EQ(r.smoothed_ns, 40 * MS);
	T_EQ(r.variance_ns, 20 * MS);
	T_EQ(r.min_ns, 40 * MS);
	T_EQ(r.first_sample_ns, 7);
	rtt_sample(&r, 40 * MS, 0, 9);
	T_EQ(r.first_sample_ns, 7);
}

static void reported_delay_is_taken_off(void)
{
	struct rtt r = fresh();

	rtt_sample(&r, 40 * MS, 0, 1);
	rtt_sample(&r, 64 * MS, 24 * MS, 2);
	T_EQ(r.latest_ns, 64 * MS);
	T_EQ(r.smoothed_ns, 40 * MS);
	T_EQ(r.variance_ns, 15 * MS);
}

static void delay_never_pushes_a_sample_below_the_minimum(void)
{
	static const uint64_t claims[] = {24 * MS + 1, UINT64_MAX, UINT64_MAX / 2};

	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		struct rtt r = fresh();

		rtt_sample(&r, 40 * MS, 0, 1);
		rtt_sample(&r, 64 * MS, claims[i], 2);
		T_EQ(r.smoothed_ns, 43 * MS);
		T_EQ(r.min_ns, 40 * MS);
	}
}

static void minimum_follows_shorter_samples(void)
{
	struct rtt r = fresh();

	rtt_sample(&r, 40 * MS, 0, 1);
	rtt_sample(&r, 8 * MS, 30 * MS, 2);
	T_EQ(r.min_ns, 8 * MS);
	T_EQ(r.smoothed_ns, 36 * MS);
}

static void pto_has_at_least_the_granularity(void)
{
	struct rtt r = fresh();

	rtt_sample(&r, 0, 0, 1);
	T_EQ(rtt_pto(&r, 0), RTT_GRANULARITY_NS);
	T_EQ(rtt_pto(&r, 25 * MS), 26 * MS);
	T_EQ(rtt_loss_delay(&r), RTT_GRANULARITY_NS);
}

static void loss_delay_takes_the_larger_estimate(void)
{
	struct rtt r = fresh();

	rtt_sample(&r, 80 * MS, 0, 1);
	rtt_sample(&r, 16 * MS, 0, 2);
	T_EQ(rtt_loss_delay(&r), 72 * MS + 9 * MS);
	rtt_sample(&r, 160 * MS, 0, 2);
	T_EQ(rtt_loss_delay(&r), 180 * MS);
}

static void a_foreign_estimate_is_no_sample_of_ours(void)
{
	struct rtt r = fresh();

	rtt_set(&r, 50 * MS, 45 * MS, 10 * MS, 40 * MS);
	T_CHECK(r.sampled);
	T_EQ(rtt_pto(&r, 0), 85 * MS);
	T_CHECK(r.first_sample_ns == UINT64_MAX);
	rtt_sample(&r, 53 * MS, 0, 5);
	T_EQ(r.smoothed_ns, 46 * MS);
	T_EQ(r.first_sample_ns, 5);
}

static void any_samples_keep_the_estimate_sane(void)
{
	uint64_t seed = 42;
	struct rtt r = fresh();

	for (int i = 0; i < 100000; i++) {
		rtt_sample(&r, t_random(&seed) >> (t_random(&seed) % 40 + 12),
			   t_random(&seed) >> (t_random(&seed) % 64), 1);
		T_CHECK(r.min_ns <= r.latest_ns);
		T_CHECK(r.smoothed_ns >= r.min_ns - (r.min_ns >> 3));
		T_CHECK(r.smoothed_ns < UINT64_C(1) << 53);
		T_CHECK(r.variance_ns < UINT64_C(1) << 53);
	}
}

static const struct t_case cases[] = {
	{"starts from the initial RTT", starts_from_the_initial_rtt},
	{"the first sample replaces it, whatever the delay", first_sample_replaces_it},
	{"the reported delay is taken off", reported_delay_is_taken_off},
	{"a delay never pushes a sample below the minimum",
	 delay_never_pushes_a_sample_below_the_minimum},
	{"the minimum follows shorter samples", minimum_follows_shorter_samples},
	{"PTO and loss delay have at least the granularity",
	 pto_has_at_least_the_granularity},
	{"the loss delay takes the larger estimate", loss_delay_takes_the_larger_estimate},
	{"a foreign estimate is no sample of ours", a_foreign_estimate_is_no_sample_of_ours},
	{"any samples keep the estimate sane", any_samples_keep_the_estimate_sane},
};
T_MAIN(cases)
