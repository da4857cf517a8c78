/* test_memory.c: the simulated link does what its configuration says, exactly and the same
 * way every time: tests of everything above stand on it. */
#include "checksum.h"
#include "frames.h"
#include "sim.h"

enum {
	MANY = 20000
};

/* Delay is virtual: nothing arrives a nanosecond early, and the link says when. */
static void a_frame_arrives_exactly_after_its_delay(void)
{
	uint32_t got[QX_BATCH_MAX];

	sim_open((struct qx_link_config){.delay_ns = 5 * MS_NS}, QX_IPV4);
	T_EQ(qx_link_advance(link_, MS_NS), UINT64_MAX);
	T_EQ(sim_send(0, 1, 100, 0), 1);
	T_EQ(qx_link_advance(link_, 2 * MS_NS), 6 * MS_NS);
	T_EQ(qx_link_advance(link_, 6 * MS_NS - 1), 6 * MS_NS);
	T_EQ(sim_recv(1, 0, got), 0);
	T_EQ(qx_link_advance(link_, 6 * MS_NS), UINT64_MAX);
	T_EQ(sim_recv(1, 0, got), 1);
	T_EQ(got[0], 1);
	/* The clock never goes back. */
	T_EQ(sim_send(0, 2, 100, 0), 1);
	T_EQ(qx_link_advance(link_, 0), 11 * MS_NS);
	sim_close();
}

/* A rate spaces frames out: 1000-byte packets at 1 MB/s are a millisecond apart. */
static void a_rate_spaces_frames(void)
{
	uint32_t got[QX_BATCH_MAX], total = 0;

	sim_open((struct qx_link_config){.rate_bytes_per_s = 1000000}, QX_IPV4);
	for (uint32_t i = 0; i < 10; i++)
		T_EQ(sim_send(0, i, 1000 - 42, 0), 1);
	for (uint64_t ms = 1; ms <= 10; ms++) {
		qx_link_advance(link_, ms * MS_NS - 1);
		T_EQ(sim_recv(1, 0, got), 0);
		qx_link_advance(link_, ms * MS_NS);
		T_EQ(sim_recv(1, 0, got), 1);
		T_EQ(got[0], total++);
	}
	sim_close();
}

/* Sends MANY datagrams through the link, hands each received number to see(). */
static void run(uint8_t ecn, void (*see)(uint32_t number, uint8_t ecn))
{
	uint64_t now_ns = 0;

	for (uint32_t sent = 0, quiet = 0; quiet < 100; quiet++) {
		for (int i = 0; i < 50 && sent < MANY; i++) {
			T_EQ(sim_send(0, sent++, 64, ecn), 1);
			quiet = 0;
		}
		qx_link_advance(link_, now_ns += MS_NS);
		T_CHECK(qx_recv(ends[1], &batch, now_ns) >= 0);
		for (uint32_t i = 0; i < batch.datagram_cnt; i++) {
			uint32_t number;

			memcpy(&number, batch.datagrams[i].data, sizeof(number));
			see(number, batch.datagrams[i].ecn);
		}
		qx_recv_done(ends[1], &batch);
		T_CHECK(qx_recv(ends[0], &batch, now_ns) == 0);
	}
}

static uint8_t seen[MANY];
static uint32_t late, marked, order_hash, last_number;

static void note(uint32_t number, uint8_t ecn)
{
	T_CHECK(number < MANY);
	seen[number]++;
	late += number < last_number;
	last_number = number > last_number ? number : last_number;
	marked += ecn == QX_ECN_CE;
	order_hash = order_hash * 31 + number;
}

static void reset_notes(void)
{
	memset(seen, 0, sizeof(seen));
	late = marked = order_hash = last_number = 0;
}

static uint32_t seen_times(uint32_t times)
{
	uint32_t cnt = 0;

	for (uint32_t i = 0; i < MANY; i++)
		cnt += seen[i] == times;
	return cnt;
}

/* Within 4 standard deviations of the mean (a binomial's variance is below its mean); seeds
 * are fixed, so this is about the generator, not about luck. */
static void check_about(uint32_t got, uint32_t ppm)
{
	int64_t mean = (int64_t)MANY * ppm / 1000000, off = (int64_t)got - mean;

	if (off * off > 16 * mean)
		T_FAIL("%u of %d are not %u ppm", got, MANY, ppm);
}

/* Without faults nothing is lost, doubled, late or marked. */
static void a_perfect_link_is_perfect(void)
{
	reset_notes();
	sim_open((struct qx_link_config){.seed = 3}, QX_IPV6);
	run(QX_ECN_ECT0, note);
	T_EQ(seen_times(1), MANY);
	T_EQ(late, 0);
	T_EQ(marked, 0);
	sim_close();
}

/* Each fault happens about as often as asked. */
static void each_fault_has_its_rate(void)
{
	reset_notes();
	sim_open((struct qx_link_config){.seed = 1, .loss_ppm = 50000}, QX_IPV4);
	run(0, note);
	check_about(seen_times(0), 50000);
	T_EQ(seen_times(0) + seen_times(1), MANY);

	reset_notes();
	sim_open((struct qx_link_config){.seed = 2, .duplicate_ppm = 30000}, QX_IPV4);
	run(0, note);
	check_about(seen_times(2), 30000);
	T_EQ(seen_times(2) + seen_times(1), MANY);

	reset_notes();
	sim_open((struct qx_link_config){.seed = 3,
					 .delay_ns = MS_NS,
					 .reorder_ppm = 40000,
					 .reorder_delay_ns = 3 * MS_NS},
		 QX_IPV4);
	run(0, note);
	check_about(late, 40000);
	T_EQ(seen_times(1), MANY);

	reset_notes();
	sim_open((struct qx_link_config){.seed = 4, .ce_ppm = 100000}, QX_IPV6);
	run(QX_ECN_ECT1, note);
	check_about(marked, 100000);
	T_EQ(seen_times(1), MANY);
	T_EQ(sim_stats(1).drop[QX_DROP_UDP_CHECKSUM], 0);
	T_EQ(sim_stats(1).drop[QX_DROP_IP_CHECKSUM], 0);

	/* Marking an IPv4 header means mending its checksum; not-ECT is never marked. */
	reset_notes();
	sim_open((struct qx_link_config){.seed = 4, .ce_ppm = 1000000}, QX_IPV4);
	run(QX_ECN_ECT0, note);
	T_EQ(marked, MANY);
	reset_notes();
	sim_open((struct qx_link_config){.seed = 4, .ce_ppm = 1000000}, QX_IPV4);
	run(QX_ECN_NOT_ECT, note);
	T_EQ(marked, 0);
	T_EQ(seen_times(1), MANY);
	sim_close();
}

/* The same seed gives the same run; another seed another one. */
static void a_seed_repeats_a_run_exactly(void)
{
	uint32_t hashes[3];

	for (int i = 0; i < 3; i++) {
		reset_notes();
		sim_open((struct qx_link_config){.seed = i < 2 ? 11 : 12,
						 .loss_ppm = 10000,
						 .duplicate_ppm = 10000,
						 .reorder_ppm = 10000,
						 .reorder_delay_ns = 2 * MS_NS},
			 QX_IPV4);
		run(0, note);
		hashes[i] = order_hash;
	}
	T_EQ(hashes[0], hashes[1]);
	T_CHECK(hashes[0] != hashes[2]);
	sim_close();
}

/* A path with a smaller MTU than the interface eats what is longer: a black hole. */
static void a_lower_path_mtu_eats_longer_packets(void)
{
	struct qx_link_config cfg = {.mtu_bytes = 1500};
	uint32_t got[QX_BATCH_MAX];

	sim_open(cfg, QX_IPV4);
	cfg.mtu_bytes = 1280;
	T_EQ(qx_link_configure(link_, &cfg), 0);
	T_EQ(sim_send(0, 1, 1281 - 28, 0), 1);
	T_EQ(sim_send(0, 2, 1280 - 28, 0), 1);
	qx_link_advance(link_, 1);
	T_EQ(sim_recv(1, 1, got), 1);
	T_EQ(got[0], 2);
	sim_close();
}

/* Jumbo frames need larger buffers; they follow from the link's MTU. */
static void jumbo_links_carry_jumbo_packets(void)
{
	uint32_t got[QX_BATCH_MAX];

	sim_open((struct qx_link_config){.mtu_bytes = 9000}, QX_IPV6);
	T_EQ(sim_send(0, 7, 9000 - 48, 0), 1);
	qx_link_advance(link_, 1);
	T_EQ(sim_recv(1, 1, got), 1);
	T_EQ(got[0], 7);
	sim_close();
}

/* A kernel that delivers nothing drops, and counts as the kernel counts. */
static void a_stalled_receiver_drops_and_counts(void)
{
	struct qx_link_config cfg = {.rx_stalled = 2};
	uint32_t got[QX_BATCH_MAX];

	sim_open(cfg, QX_IPV4);
	for (uint32_t i = 0; i < 10; i++)
		T_EQ(sim_send(0, i, 100, 0), 1);
	qx_link_advance(link_, 1);
	T_EQ(sim_recv(1, 1, got), 0);
	T_EQ(sim_stats(1).kernel_rx_ring_full, 10);
	T_EQ(sim_stats(1).kernel_rx_dropped, 10);
	T_EQ(sim_send(1, 5, 100, 0), 1);
	qx_link_advance(link_, 2);
	T_EQ(sim_recv(0, 2, got), 1); /* the other end is not concerned */
	cfg.rx_stalled = 0;
	T_EQ(qx_link_configure(link_, &cfg), 0);
	T_EQ(sim_send(0, 99, 100, 0), 1);
	qx_link_advance(link_, 3);
	T_EQ(sim_recv(1, 3, got), 1);
	T_EQ(got[0], 99);
	sim_close();
}

/* A kernel that completes nothing keeps the frames; sending stops and goes on after. */
static void a_stalled_sender_keeps_its_frames_until_it_goes_on(void)
{
	struct qx_link_config cfg = {.tx_stalled = 1};
	uint32_t got[QX_BATCH_MAX], sent = 0, heard = 0;

	sim_open(cfg, QX_IPV4);
	while (sent < 5000 && sim_send(0, sent, 100, 0) == 1)
		sent++;
	T_EQ(sent, sim_stats(0).frames[QX_FRAME_TX]);
	T_EQ(sim_stats(0).frames[QX_FRAME_FREE], 0);
	cfg.tx_stalled = 0;
	T_EQ(qx_link_configure(link_, &cfg), 0);
	for (uint64_t t = 1; t < 50; t++) {
		qx_link_advance(link_, t);
		heard += sim_recv(1, t, got);
		sim_recv(0, t, got);
		qx_flush(ends[0]);
	}
	T_EQ(heard, sent);
	T_EQ(sim_stats(0).frames[QX_FRAME_TX], 0);
	sim_close();
}

/* A reader that is too slow loses packets for want of frames, and recovers. */
static void a_slow_reader_runs_the_fill_ring_dry_and_recovers(void)
{
	uint32_t got[QX_BATCH_MAX], heard = 0, n;

	sim_open((struct qx_link_config){0}, QX_IPV4);
	qx_close(ends[1]);
	sim_open_end(1, QX_IPV4, 64, 64);
	for (uint32_t i = 0; i < 200; i++) {
		T_EQ(sim_send(0, i, 100, 0), 1);
		qx_link_advance(link_, i);
		sim_recv(0, i, got);
	}
	while ((n = sim_recv(1, 200, got)) > 0) {
		for (uint32_t i = 0; i < n; i++)
			T_EQ(got[i], heard + i);
		heard += n;
	}
	T_EQ(heard, 64);
	T_EQ(sim_stats(1).kernel_rx_dropped, 200 - 64);
	for (uint32_t i = 0; i < 200; i++) {
		T_EQ(sim_send(0, i, 100, 0), 1);
		qx_link_advance(link_, 1000 + i);
		sim_recv(0, i, got);
		T_EQ(sim_recv(1, i, got), 1);
	}
	sim_close();
}

/* More than the link holds waits in the TX ring: a slow link loses nothing by itself. */
static void a_full_link_holds_its_sender_back(void)
{
	uint32_t got[QX_BATCH_MAX], sent = 0, heard = 0, refused = 0;
	uint64_t now_ns = 0;

	sim_open((struct qx_link_config){.delay_ns = 1000 * MS_NS}, QX_IPV4);
	for (uint32_t round = 0; round < 4000 && sent < 20000; round++) {
		for (int i = 0; i < 100 && sent < 20000; i++) {
			if (sim_send(0, sent, 100, 0) != 1) {
				refused++;
				break;
			}
			sent++;
		}
		qx_link_advance(link_, now_ns += MS_NS);
		sim_recv(0, now_ns, got);
		heard += sim_recv(1, now_ns, got);
	}
	T_CHECK(refused > 0);
	T_EQ(sent, 20000);
	for (int i = 0; heard < sent && i < 5000; i++) {
		T_CHECK(qx_flush(ends[0]) >= 0);
		qx_link_advance(link_, now_ns += MS_NS);
		heard += sim_recv(1, now_ns, got);
		sim_recv(0, now_ns, got);
	}
	T_EQ(heard, sent);
	sim_close();
}

/* Several endpoints share an end as they share an interface. */
static void endpoints_share_an_end(void)
{
	struct qx_config cfg = {.socket_fd = -1};
	struct qx_datapath *other, *twin = NULL;
	uint32_t got[QX_BATCH_MAX];
	struct qx_addr own;

	sim_open((struct qx_link_config){0}, QX_IPV4);
	own = addrs[1];
	cfg.local = sim_addr(5, QX_IPV4, 1000);
	T_EQ(qx_open_memory(&other, link_, 1, &cfg, sim_why), 0);
	T_EQ(qx_open_memory(&twin, link_, 1, &cfg, sim_why), -EADDRINUSE);
	T_CHECK(strstr(sim_why, "192.0.2.6:1000") != NULL);
	T_EQ(sim_send(0, 1, 100, 0), 1);
	addrs[1] = cfg.local;
	T_EQ(sim_send(0, 2, 100, 0), 1);
	addrs[1] = own;
	qx_link_advance(link_, 1);
	T_EQ(sim_recv(1, 1, got), 1);
	T_EQ(got[0], 1);
	T_EQ(qx_recv(other, &batch, 1), 1);
	T_EQ(batch.datagrams[0].data[0], 2);
	qx_recv_done(other, &batch);
	qx_close(other);
	sim_close();
}

/* What a fuzzer may do: any bytes, any length, any end. */
static void injected_bytes_end_in_a_counter(void)
{
	struct qx_addr from = sim_addr(0, QX_IPV4, 9), to = sim_addr(1, QX_IPV4, 444);
	static const uint8_t mac[6] = {0x02, 'q', 'x', 0, 0, 1};
	uint32_t got[QX_BATCH_MAX];
	uint8_t noise[1792 + 1];
	struct frame f;

	sim_open((struct qx_link_config){0}, QX_IPV4);
	memset(noise, 0x5a, sizeof(noise));
	T_EQ(qx_link_inject(link_, 2, noise, 60), -EINVAL);
	T_EQ(qx_link_inject(link_, 1, noise, sizeof(noise)), -EMSGSIZE);
	T_EQ(qx_link_inject(link_, 1, noise, sizeof(noise) - 1), 0);
	T_EQ(qx_link_inject(link_, 1, noise, 0), 0);
	frame_udp(&f, mac, &from, &to, 50);
	T_EQ(qx_link_inject(link_, 1, f.bytes, f.len_bytes), 0);
	to.port = 443;
	frame_udp(&f, mac, &from, &to, 50);
	T_EQ(qx_link_inject(link_, 0, f.bytes, f.len_bytes), 0);
	T_EQ(sim_recv(1, 0, got), 1);
	T_EQ(sim_recv(0, 0, got), 0);
	T_EQ(sim_stats(1).drop[QX_DROP_DEST_MAC], 1);
	T_EQ(sim_stats(1).drop[QX_DROP_TRUNCATED], 1);
	T_EQ(sim_stats(0).drop[QX_DROP_DEST_MAC], 1);
	qx_close(ends[1]);
	ends[1] = NULL;
	T_EQ(qx_link_inject(link_, 1, noise, 60), -ENODEV);
	sim_close();
}

static int open_with(struct qx_link_config cfg)
{
	struct qx_link *one = NULL;
	int rc = qx_link_open(&one, &cfg);

	if (rc == 0)
		qx_link_close(one);
	return rc;
}

/* Mistakes in a test's configuration are said, not simulated. */
static void impossible_configurations_are_refused(void)
{
	struct qx_link_config jumbo = {.mtu_bytes = 9000};
	struct qx_config cfg = {.socket_fd = -1, .local = sim_addr(1, QX_IPV4, 443)};
	struct qx_datapath *dp = NULL;

	T_EQ(open_with((struct qx_link_config){.loss_ppm = 1000001}), -EINVAL);
	T_EQ(open_with((struct qx_link_config){.duplicate_ppm = 1000001}), -EINVAL);
	T_EQ(open_with((struct qx_link_config){.reorder_ppm = 1000001}), -EINVAL);
	T_EQ(open_with((struct qx_link_config){.ce_ppm = UINT32_MAX}), -EINVAL);
	T_EQ(open_with((struct qx_link_config){.mtu_bytes = 67}), -EINVAL);
	T_EQ(open_with((struct qx_link_config){.mtu_bytes = 16001}), -EINVAL);
	T_EQ(open_with((struct qx_link_config){.mtu_bytes = 16000}), 0);

	sim_open((struct qx_link_config){0}, QX_IPV4);
	T_EQ(qx_link_configure(link_, &jumbo), -EINVAL);
	T_EQ(qx_open_memory(&dp, link_, 2, &cfg, sim_why), -EINVAL);
	T_CHECK(strlen(sim_why) > 10);
	cfg.local = (struct qx_addr){.family = QX_IPV4, .ip = {127, 0, 0, 1}, .port = 443};
	T_EQ(qx_open_memory(&dp, link_, 1, &cfg, sim_why), -EINVAL);
	T_CHECK(strstr(sim_why, "127.0.0.1") != NULL);
	qx_close(ends[1]);
	ends[1] = NULL;
	cfg.local = sim_addr(1, QX_IPV4, 443);
	cfg.rx_frame_cnt = 100;
	T_EQ(qx_open_memory(&dp, link_, 1, &cfg, sim_why), -EINVAL);
	T_CHECK(strstr(sim_why, "100") != NULL);
	T_CHECK(dp == NULL);
	sim_close();
}

/* Freed in the wrong order, the link is a cable pulled out for good, not a crash. */
static void a_link_closed_first_is_an_interface_gone(void)
{
	uint32_t got[QX_BATCH_MAX];

	sim_open((struct qx_link_config){0}, QX_IPV4);
	T_EQ(sim_send(0, 1, 100, 0), 1);
	qx_link_close(link_);
	link_ = NULL;
	T_CHECK(sim_send(0, 2, 100, 0) >= 0);
	T_EQ(qx_recv(ends[0], &batch, 1), -ENETDOWN);
	T_EQ(sim_recv(0, 2, got), 0);
	T_EQ(sim_recv(1, 2, got), 0);
	sim_close();
}

static const struct t_case cases[] = {
	{"a frame arrives exactly after its delay", a_frame_arrives_exactly_after_its_delay},
	{"a rate spaces frames", a_rate_spaces_frames},
	{"a perfect link is perfect", a_perfect_link_is_perfect},
	{"each fault has its rate", each_fault_has_its_rate},
	{"a seed repeats a run exactly", a_seed_repeats_a_run_exactly},
	{"a lower path MTU eats longer packets", a_lower_path_mtu_eats_longer_packets},
	{"jumbo links carry jumbo packets", jumbo_links_carry_jumbo_packets},
	{"a stalled receiver drops and counts", a_stalled_receiver_drops_and_counts},
	{"a stalled sender keeps its frames until it goes on",
	 a_stalled_sender_keeps_its_frames_until_it_goes_on},
	{"a slow reader runs the fill ring dry and recovers",
	 a_slow_reader_runs_the_fill_ring_dry_and_recovers},
	{"a full link holds its sender back", a_full_link_holds_its_sender_back},
	{"endpoints share an end", endpoints_share_an_end},
	{"injected bytes end in a counter", injected_bytes_end_in_a_counter},
	{"impossible configurations are refused", impossible_configurations_are_refused},
	{"a link closed first is an interface gone",
	 a_link_closed_first_is_an_interface_gone},
};

T_MAIN(cases)
