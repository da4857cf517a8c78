/* test_memory_faults.c: whichever allocation or call fails while a simulation is opened,
 * it fails cleanly: an errno, a sentence, no descriptor left, no memory left (the address
 * sanitizer looks), and the next attempt works. */
#include "faults.h"
#include "sim.h"

enum {
	FAULTS_MAX = 500
};

static int open_both(char *why)
{
	const struct qx_link_config wire = {.seed = 1};
	int err = qx_link_open(&link_, &wire);

	for (uint32_t end = 0; err == 0 && end < 2; end++) {
		struct qx_config cfg = {
			.socket_fd = -1, .rx_frame_cnt = 64, .tx_frame_cnt = 64};

		cfg.local = addrs[end] = sim_addr(end, QX_IPV4, 443);
		err = qx_open_memory(&ends[end], link_, end, &cfg, why);
		if (err < 0 && ends[end])
			T_FAIL("a failed open wrote its result");
		if (err < 0 && strlen(why) < 10)
			T_FAIL("call %u failed without saying why", faults_at);
	}
	return err;
}

/* The habit of SQLite's tests: fail the 1st call, the 2nd, ... until opening succeeds. */
static void every_failing_call_is_undone(void)
{
	int fds = faults_open_fds();
	uint32_t failed = 0;

	faults_errno = ENOMEM;
	for (uint32_t n = 1; n < FAULTS_MAX; n++) {
		char why[QX_WHY_BYTES] = "";
		int err;

		faults_calls = 0;
		faults_at = n;
		err = open_both(why);
		faults_at = 0;
		sim_close();
		T_EQ(faults_open_fds(), fds);
		if (err == 0)
			break;
		T_EQ(err, -ENOMEM);
		failed++;
	}
	printf("  %u calls failed one after the other\n", failed);
	T_CHECK(failed >= 40 && failed < FAULTS_MAX - 1);
}

/* More endpoints on a device that is open: their failure leaves the others alone. */
static void a_failing_second_endpoint_leaves_the_first_working(void)
{
	struct qx_config cfg = {.socket_fd = -1, .local = sim_addr(1, QX_IPV4, 1000)};
	char why[QX_WHY_BYTES] = "";
	uint32_t got[QX_BATCH_MAX], failed = 0;

	T_EQ(open_both(why), 0);
	for (uint32_t n = 1; n < FAULTS_MAX; n++) {
		struct qx_datapath *other = NULL;
		int err;

		faults_calls = 0;
		faults_at = n;
		err = qx_open_memory(&other, link_, 1, &cfg, why);
		faults_at = 0;
		T_EQ(sim_send(0, n, 100, 0), 1);
		qx_link_advance(link_, n);
		T_EQ(sim_recv(1, n, got), 1);
		T_EQ(got[0], n);
		sim_recv(0, n, got);
		qx_close(other);
		if (err == 0)
			break;
		failed++;
	}
	T_CHECK(failed >= 5 && failed < FAULTS_MAX - 1);
	sim_close();
}

static const struct t_case cases[] = {
	{"every failing call is undone", every_failing_call_is_undone},
	{"a failing second endpoint leaves the first working",
	 a_failing_second_endpoint_leaves_the_first_working},
};

T_MAIN(cases)
