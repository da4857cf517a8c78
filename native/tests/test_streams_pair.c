/* test_streams_pair.c: two ends and a bad network.  Random applications write, reset, stop
 * and read; what one wrote the other has read, or the stream ended as one of them wished;
 * nothing stalls for good, and all memory comes back. */
#include "streams_side.h"

enum {
	FLYING_MAX = 48,
	STREAMS_TRACKED = 64,
	STREAM_BYTES_MAX = 20000
};

/* What the test knows of one direction of a stream: index by ID. */
struct track {
	uint64_t written, told;   /* bytes, by the sender's and the reader's end */
	uint64_t unconsumed;      /* told, and not consumed (manual) */
	bool fin, reset, stopped; /* what the ends have done */
	bool fin_told, reset_told;
};

struct flying {
	bool used;
	uint64_t pn;
	uint32_t len;
	uint8_t bytes[PACKET_BYTES];
};

static struct side sides[2];                        /* 0: server, 1: client */
static struct track tracks[2][STREAMS_TRACKED * 4]; /* [who sends][id] */
static struct flying flying[2][FLYING_MAX];
static uint64_t seed;
static bool manual;
static uint64_t next_token;
static bool quiet; /* the applications write no more */

static uint64_t dice(uint64_t sides_cnt)
{
	return t_random(&seed) % sides_cnt;
}

/* Each stream's bytes differ from those of every other. */
static uint8_t text_at(uint32_t from, uint64_t id, uint64_t off)
{
	return (uint8_t)(byte_at(off) ^ (id * 57 + from));
}

/* ---- Applications ---- */

static bool can_send(uint32_t who, uint64_t id)
{
	const bool ours = (id & 1) == !who;

	return ours || !(id & 2);
}

static void write_some(uint32_t who)
{
	static uint8_t held[TOKENS_MAX][400];
	const uint64_t id = dice(STREAMS_TRACKED * 4);
	struct track *t = &tracks[who][id];
	uint64_t token = dice(2) && next_token < TOKENS_MAX - 1 ? next_token + 1 : 0;
	uint32_t len = (uint32_t)dice(dice(4) ? 40 : 400);
	uint8_t plain[400], *data = token ? held[token] : plain;
	const bool fin = dice(6) == 0;

	if (t->fin || t->reset || t->written + len > STREAM_BYTES_MAX)
		return;
	for (uint32_t i = 0; i < len; i++)
		data[i] = text_at(who, id, t->written + i);
	if (streams_write(&sides[who].s, id, data, len, fin, token) < 0)
		return;
	T_CHECK(can_send(who, id));
	if (token)
		next_token = token;
	t->written += len;
	t->fin = fin;
}

static void consume(uint32_t who, uint64_t id, uint64_t bytes)
{
	struct track *t = &tracks[!who][id];

	if (bytes > t->unconsumed)
		bytes = t->unconsumed;
	t->unconsumed -= bytes;
	streams_consume(&sides[who].s, id, bytes, 0, 0);
}

static void end_some(uint32_t who)
{
	const uint64_t id = dice(STREAMS_TRACKED * 4);

	if (dice(2)) {
		if (streams_reset(&sides[who].s, id, id) == 0)
			tracks[who][id].reset = true;
	} else if (streams_stop(&sides[who].s, id, id) == 0) {
		tracks[!who][id].stopped = true;
	}
}

static void read_news(uint32_t who)
{
	struct side *side = &sides[who];
	struct stream_news n;

	while (streams_news(&side->s, &n, 0, 0)) {
		struct track *t = &tracks[!who][n.id];

		T_CHECK(!t->fin_told && !t->reset_told);
		T_CHECK(t->told + n.len_bytes <= t->written);
		for (uint32_t i = 0; i < n.len_bytes; i++)
			T_EQ(n.data[i], text_at(!who, n.id, t->told + i));
		t->told += n.len_bytes;
		t->unconsumed += n.len_bytes;
		if (n.fin)
			T_CHECK(t->fin && t->told == t->written);
		if (n.reset)
			T_CHECK((t->reset || t->stopped) && n.reset_code == n.id);
		t->fin_told = n.fin;
		t->reset_told = n.reset;
	}
	streams_reap(&side->s);
	if (manual)
		for (uint64_t id = 0; id < STREAMS_TRACKED * 4; id++)
			if (dice(3) == 0)
				consume(who, id, dice(2000));
}

/* ---- The network ---- */

static void send_some(uint32_t who)
{
	struct flying *f = &flying[who][dice(FLYING_MAX)];

	if (f->used)
		return;
	f->len = side_write(&sides[who], f->bytes,
			    dice(3) ? PACKET_BYTES : (uint32_t)dice(100), dice(10) > 0);
	f->used = f->len > 0;
	f->pn = sides[who].sent.next - 1;
}

static void deliver(uint32_t from, const struct flying *f)
{
	struct reader r = {f->bytes, f->bytes + f->len, false};
	struct side *side = &sides[!from];
	struct got_frame frame;
	bool told;

	streams_settle(&side->s);
	while (next_frame(&r, &frame)) {
		T_EQ(side_frame(side, &frame, &told), 0);
		if (told) {
			T_CHECK(tracks[!from][frame.fields[0]].stopped);
			tracks[!from][frame.fields[0]].reset = true;
		}
	}
}

static void arrive_some(uint32_t from, uint32_t loss_percent)
{
	struct flying *f = &flying[from][dice(FLYING_MAX)];

	if (!f->used)
		return;
	if (dice(100) < loss_percent) {
		side_fate(&sides[from], f->pn, false);
		f->used = false;
		return;
	}
	deliver(from, f);
	if (dice(10) == 0)
		return; /* and once more, or declared lost all the same */
	side_fate(&sides[from], f->pn, true);
	f->used = false;
}

/* ---- A run ---- */

static void begin(void)
{
	struct qx_conn_config cfg = {.max_data_bytes = 3000 + dice(10000),
				     .max_stream_data_bytes = 500 + dice(4000),
				     .window_max_bytes = 1 + dice(20000),
				     .max_streams_bidi = 1 + dice(10),
				     .max_streams_uni = 1 + dice(10),
				     .manual_consume = manual};
	const struct qx_peer_limits limits = {
		.max_data = cfg.max_data_bytes,
		.max_stream_data_bidi_local = cfg.max_stream_data_bytes,
		.max_stream_data_bidi_remote = cfg.max_stream_data_bytes,
		.max_stream_data_uni = cfg.max_stream_data_bytes,
		.max_streams_bidi = cfg.max_streams_bidi,
		.max_streams_uni = cfg.max_streams_uni};

	memset(tracks, 0, sizeof(tracks));
	memset(flying, 0, sizeof(flying));
	next_token = 0;
	quiet = false;
	for (uint32_t who = 0; who < 2; who++) {
		side_open(&sides[who], cfg, who);
		streams_set_peer_limits(&sides[who].s, &limits);
	}
}

static bool flying_any(void)
{
	for (uint32_t who = 0; who < 2; who++) {
		if (streams_have_work(&sides[who].s, true))
			return true;
		for (int i = 0; i < FLYING_MAX; i++)
			if (flying[who][i].used)
				return true;
	}
	return false;
}

static void finish_writing(void)
{
	quiet = true;
	for (uint32_t who = 0; who < 2; who++)
		for (uint64_t id = 0; id < STREAMS_TRACKED * 4; id++) {
			const struct streams *s = &sides[who].s;
			const bool ours = (id & 1) == !who;
			struct track *t = &tracks[who][id];

			/* Those skipped too: while they are open, the peer cannot offer more. */
			if (!streams_find(s, id) &&
			    !(ours && id < streams_next_id(s, id >> 1 & 1)))
				continue;
			if (can_send(who, id) && !t->fin &&
			    streams_write(&sides[who].s, id, NULL, 0, true, 0) == 0)
				t->fin = true;
		}
}

/* Every stream that was opened must have ended, at both ends. */
static void check_end(uint64_t with_seed)
{
	for (uint32_t who = 0; who < 2; who++) {
		for (uint64_t id = 0; id < STREAMS_TRACKED * 4; id++) {
			const struct track *t = &tracks[who][id];

			if (!t->fin || t->reset || t->stopped)
				continue;
			if (!t->fin_told || t->told != t->written)
				T_FAIL("seed %#llx: stream %llu told %llu of %llu",
				       (unsigned long long)with_seed, (unsigned long long)id,
				       (unsigned long long)t->told,
				       (unsigned long long)t->written);
		}
		if (sides[who].s.stream_cnt > 0)
			T_FAIL("seed %#llx: %u streams left", (unsigned long long)with_seed,
			       sides[who].s.stream_cnt);
		T_EQ(sides[who].s.unsent_bytes, 0);
		T_EQ(sides[who].s.flow.consumed, sides[who].s.flow.received);
		T_EQ(sides[who].s.flow.received, sides[!who].s.sent_data);
	}
}

static void settle_all(void)
{
	for (uint32_t who = 0; who < 2; who++) {
		if (manual)
			for (uint64_t id = 0; id < STREAMS_TRACKED * 4; id++)
				consume(who, id, UINT64_MAX);
		read_news(who);
		streams_settle(&sides[who].s);
	}
}

static void run(uint64_t with_seed)
{
	const uint64_t steps = 6000;
	uint32_t loss_percent;

	seed = with_seed;
	manual = dice(2);
	loss_percent = (uint32_t)dice(40);
	begin();
	for (uint64_t step = 0;; step++) {
		const uint32_t who = (uint32_t)dice(2);

		if (step == steps)
			finish_writing();
		if (step > steps && step % 2000 == 0) {
			settle_all();
			finish_writing(); /* streams that the peer's frames have opened since */
			if (!flying_any() &&
			    sides[0].s.stream_cnt + sides[1].s.stream_cnt == 0)
				break;
		}
		if (step > 300 * steps)
			break;
		switch (dice(12)) {
		case 0:
		case 1:
		case 2:
			if (!quiet)
				write_some(who);
			break;
		case 3:
			if (!quiet && dice(20) == 0)
				end_some(who);
			break;
		case 4:
			read_news(who);
			break;
		case 5:
		case 6:
		case 7:
			send_some(who);
			break;
		default:
			arrive_some(who, quiet ? 0 : loss_percent);
		}
	}
	check_end(with_seed);
	for (uint32_t who = 0; who < 2; who++)
		side_close(&sides[who]);
}

static void every_stream_ends_as_its_ends_wished(void)
{
	const uint64_t first = 0xe3100001;
	const char *env = getenv("QX_SEED");

	if (env) {
		run(strtoull(env, NULL, 0));
		return;
	}
	printf("  seeds %#llx and the 39 that follow\n", (unsigned long long)first);
	for (uint64_t i = 0; i < 40; i++)
		run(first + i);
}

static const struct t_case cases[] = {
	{"every stream ends as its ends wished", every_stream_ends_as_its_ends_wished},
};
T_MAIN(cases)
