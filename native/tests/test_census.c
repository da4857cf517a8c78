/* test_census.c: whatever is done, in whatever order, over a link that does its worst:
 * every frame is somewhere, and in the end every frame is home.
 *
 * A property test of device and simulation together.  The seed is printed; QX_SEED=n runs
 * another one. */
#include "frames.h"
#include "sim.h"

enum {
	STEPS = 20000,
	EXTRA_MAX = 3,
	HELD_MAX = 5,
	RX = 128,
	TX = 64
};

static uint64_t seed;
static uint64_t now_ns;

/* Two endpoints per test end 0 and 1, and more that come and go at end 1. */
static struct qx_datapath *extra[EXTRA_MAX];
static struct qx_addr extra_addr[EXTRA_MAX];

/* A batch that an endpoint was lent and keeps for a while. */
struct held {
	struct qx_datapath *by;
	struct qx_batch batch;
};

static struct held held[HELD_MAX];

static uint32_t below(uint32_t n)
{
	return (uint32_t)(t_random(&seed) >> 32) % n;
}

static void check(struct qx_datapath *dp)
{
	struct qx_stats s;
	uint32_t sum = 0;

	if (!dp)
		return;
	T_EQ(qx_get_stats(dp, &s), 0);
	for (int i = 0; i < QX_FRAME_STATE_CNT; i++)
		sum += s.frames[i];
	T_EQ(sum, s.frame_cnt);
	T_EQ(s.frame_cnt, 2 * RX + TX);
	T_EQ(s.frames[QX_FRAME_FILL] + s.frames[QX_FRAME_LENT], 2 * RX);
	T_EQ(s.frames[QX_FRAME_FREE] + s.frames[QX_FRAME_BUILT] + s.frames[QX_FRAME_TX], TX);
	T_EQ(s.drop[QX_DROP_DESCRIPTOR], 0);
}

static struct qx_datapath *anybody(void)
{
	uint32_t who = below(2 + EXTRA_MAX);

	return who < 2 ? ends[who] : extra[who - 2] ? extra[who - 2] : ends[1];
}

static struct qx_path any_path(const struct qx_datapath *from)
{
	struct qx_path path = {.peer = addrs[from == ends[1]]};
	uint32_t who = below(8);

	if (from == ends[0])
		path.peer = who < EXTRA_MAX && extra[who] ? extra_addr[who] : addrs[1];
	else
		path.peer = addrs[0];
	if (below(50) == 0)
		path.peer.ip[3] ^= 0x40; /* nobody */
	return path;
}

static void send_many(struct qx_datapath *dp)
{
	static uint8_t payload[64 * 1600];
	struct qx_send_item items[64];
	struct qx_path paths[4];
	uint32_t n = 1 + below(64);

	for (int i = 0; i < 4; i++)
		paths[i] = any_path(dp);
	for (uint32_t i = 0; i < n; i++)
		items[i] = (struct qx_send_item){.len_bytes = below(20) ? below(1473)
									: below(1600),
						 .path = (uint16_t)below(4),
						 .ecn = (uint8_t)below(4)};
	T_CHECK(qx_send(dp, payload, items, n, paths, 4) >= 0);
}

static void reserve_some(struct qx_datapath *dp)
{
	struct qx_slot slots[QX_BATCH_MAX];
	struct qx_path path = any_path(dp);
	uint32_t len_bytes = below(1500);
	int n = qx_reserve(dp, &path, len_bytes, slots, below(QX_BATCH_MAX + 1));

	T_CHECK(n >= 0 || n == -EMSGSIZE || n == -ENETUNREACH);
	check(dp);
	if (n <= 0)
		return;
	for (int i = 0; i < n; i++) {
		slots[i].len_bytes = below(3) ? below(len_bytes + 1) : 0;
		slots[i].empty = below(2) != 0;
		memset(slots[i].data, i, slots[i].len_bytes);
	}
	T_EQ(qx_commit(dp, slots, (uint32_t)n), 0);
}

static struct held *held_by(const struct qx_datapath *dp)
{
	for (int i = 0; i < HELD_MAX; i++)
		if (held[i].by == dp)
			return &held[i];
	return NULL;
}

static void give_back(struct held *h)
{
	qx_recv_done(h->by, &h->batch);
	h->by = NULL;
}

static void receive_some(struct qx_datapath *dp)
{
	struct held *h = held_by(dp);

	if (h) {
		give_back(h);
		return;
	}
	h = held_by(NULL);
	if (!h)
		return;
	T_CHECK(qx_recv(dp, &h->batch, now_ns) >= 0);
	h->by = dp;
	if (below(3))
		give_back(h);
}

static void worsen_link(void)
{
	struct qx_link_config cfg = {.seed = 5, .delay_ns = below(10) * MS_NS};

	if (below(3)) {
		cfg.loss_ppm = below(100000);
		cfg.duplicate_ppm = below(200000);
		cfg.reorder_ppm = below(200000);
		cfg.reorder_delay_ns = below(20) * MS_NS;
		cfg.ce_ppm = below(500000);
		cfg.rate_bytes_per_s = below(2) ? 1000000 + below(100000000) : 0;
		cfg.rx_stalled = below(4) ? 0 : below(4);
		cfg.tx_stalled = below(4) ? 0 : below(4);
		cfg.mtu_bytes = below(5) ? 0 : 68 + below(1433);
	}
	T_EQ(qx_link_configure(link_, &cfg), 0);
}

static void inject_something(void)
{
	uint32_t end = below(2);
	struct qx_addr from = addrs[1 - end], to = addrs[end];
	const uint8_t mac[6] = {0x02, 'q', 'x', 0, 0, (uint8_t)end};
	struct frame f;
	int rc;

	frame_udp(&f, mac, &from, &to, below(1400));
	for (uint32_t n = below(3); n > 0; n--)
		f.bytes[below(f.len_bytes)] = (uint8_t)below(256);
	if (below(4) == 0)
		f.len_bytes = below(f.len_bytes + 1);
	rc = qx_link_inject(link_, end, f.bytes, f.len_bytes);
	T_CHECK(rc == 0 || rc == -ENOSPC);
}

static void come_or_go(void)
{
	struct qx_config cfg = {.socket_fd = -1};
	uint32_t i = below(EXTRA_MAX);
	struct held *h;

	if (!extra[i]) {
		cfg.local = extra_addr[i] = sim_addr(1, QX_IPV4, (uint16_t)(2000 + i));
		if (below(2))
			cfg.remote = addrs[0];
		T_EQ(qx_open_memory(&extra[i], link_, 1, &cfg, sim_why), 0);
		return;
	}
	/* With what it was lent, and perhaps with something queued. */
	h = held_by(extra[i]);
	if (h)
		h->by = NULL;
	if (below(2))
		reserve_some(extra[i]);
	qx_close(extra[i]);
	extra[i] = NULL;
}

static void step(void)
{
	struct qx_datapath *dp = anybody();

	switch (below(16)) {
	case 0:
		worsen_link();
		break;
	case 1:
		inject_something();
		break;
	case 2:
		come_or_go();
		break;
	case 3:
	case 4:
		reserve_some(dp);
		break;
	case 5:
	case 6:
		T_CHECK(qx_flush(dp) >= 0);
		break;
	case 7:
	case 8:
	case 9:
		send_many(dp);
		break;
	case 10:
	case 11:
	case 12:
		qx_link_advance(link_, now_ns += below(5) * MS_NS);
		break;
	default:
		receive_some(dp);
		break;
	}
	for (int i = 0; i < 2; i++)
		check(ends[i]);
	for (int i = 0; i < EXTRA_MAX; i++)
		check(extra[i]);
}

/* Everything is given back, the link gets well, everybody reads until nothing comes. */
static void come_home(void)
{
	const struct qx_link_config well = {.seed = 5};
	struct qx_error error;

	for (int i = 0; i < HELD_MAX; i++)
		if (held[i].by)
			give_back(&held[i]);
	T_EQ(qx_link_configure(link_, &well), 0);
	for (int i = 0; i < EXTRA_MAX; i++) {
		qx_close(extra[i]);
		extra[i] = NULL;
	}
	for (int round = 0; round < 500; round++) {
		qx_link_advance(link_, now_ns += 1000 * MS_NS);
		for (int end = 0; end < 2; end++) {
			T_CHECK(qx_flush(ends[end]) >= 0);
			T_CHECK(qx_recv(ends[end], &batch, now_ns) >= 0);
			qx_recv_done(ends[end], &batch);
			while (qx_next_error(ends[end], &error))
				T_CHECK(error.code == EMSGSIZE || error.code == ENETUNREACH);
		}
	}
	for (int end = 0; end < 2; end++) {
		struct qx_stats s = sim_stats((uint32_t)end);

		T_EQ(s.frames[QX_FRAME_FREE], TX);
		T_EQ(s.frames[QX_FRAME_FILL], 2 * RX);
	}
}

/* The invariant of umem.h, after every one of thousands of random calls. */
static void the_census_adds_up_after_every_call(void)
{
	const char *given = getenv("QX_SEED");
	const struct qx_link_config fresh = {.seed = 5};
	struct qx_stats s;
	uint32_t got[QX_BATCH_MAX];

	seed = given ? strtoull(given, NULL, 0) | 1 : 20260917;
	printf("  seed %llu\n", (unsigned long long)seed);
	T_EQ(qx_link_open(&link_, &fresh), 0);
	sim_open_end(0, QX_IPV4, RX, TX);
	sim_open_end(1, QX_IPV4, RX, TX);
	for (int i = 0; i < STEPS; i++) {
		step();
		if (i % (STEPS / 4) == STEPS / 4 - 1)
			come_home();
	}
	s = sim_stats(1);
	T_CHECK(s.lane[QX_LANE_XDP].rx_packets > STEPS / 4);
	T_CHECK(s.lane[QX_LANE_XDP].tx_packets > STEPS / 4);
	/* And it still works. */
	T_EQ(sim_send(0, 4711, 100, 0), 1);
	qx_link_advance(link_, now_ns += MS_NS);
	T_EQ(sim_recv(1, now_ns, got), 1);
	T_EQ(got[0], 4711);
	sim_close();
}

static const struct t_case cases[] = {
	{"the census adds up after every call", the_census_adds_up_after_every_call},
};

T_MAIN(cases)
