/* test_hostile_costs.c: whatever a peer with keys does, memory, allocations and packets of ours
 * stay bounded. */
#include <errno.h>

#include "counting.h"
#include "hostile.h"

static uint64_t memory(uint32_t side)
{
	return pair_stats(side).memory_bytes;
}

/* All that the side has sent, whether it came or not; before that a PING. */
static uint8_t *ack_all(uint8_t *p, uint32_t side)
{
	const uint64_t next = pair_stats(side).next_packet_number;

	*p++ = FRAME_PING;
	if (next == 0)
		return p;
	*p++ = FRAME_ACK;
	p = write_varint(p, next - 1);
	*p++ = 0;
	*p++ = 0;
	return write_varint(p, next - 1);
}

static void opening_streams_costs_what_was_promised(void)
{
	pair_start(NULL);
	/* The highest one opens all below, which cost nothing yet. */
	T_EQ(pair_inject(SERVER, BYTES(0x0a, V2(396), 1, 0)), 1);
	T_EQ(pair_stats(SERVER).streams, 1);
	pair_end();

	pair_start(NULL);
	for (uint64_t id = 0; id < 400; id += 4)
		pair_write(CLIENT, id, 0, 1, false, false);
	pair_run(S_NS);
	T_EQ(pair_stats(SERVER).streams, 100);
	T_CHECK(memory(SERVER) < 16384 + 100 * (512 + 64));
	/* Those that are over leave one range behind. */
	for (uint64_t id = 0; id < 400; id += 4) {
		T_EQ(qx_stream_reset(sides[CLIENT].c, id, 1), 0);
		T_EQ(qx_stream_stop(sides[CLIENT].c, id, 1), 0);
	}
	pair_run(S_NS);
	T_EQ(pair_stats(SERVER).streams, 0);
	T_EQ(pair_stats(CLIENT).streams, 0);
	T_CHECK(memory(SERVER) < 16384);
	pair_end();
}

/* A million streams over one connection, hundreds in each packet; some stay open for long, so
 * that those which are over lie in many ranges. */
static void a_million_streams_leave_nothing_behind(void)
{
	struct qx_conn_config cfg = pair_config(SERVER);
	uint64_t number = 0, open = 0, pn = 100, most = 0;
	uint8_t frames[1300];

	cfg.max_streams_uni = 1000;
	pair_start(&cfg);
	while (number < 1000000 && pn < 20000) {
		const uint64_t end = sides[SERVER].c->streams.limits[KIND_UNI].ours_sent;
		uint8_t *p = frames;

		p = ack_all(p, SERVER);
		for (; p < frames + sizeof(frames) - 16 && number < end; number++) {
			/* Every tenth is left without its end. */
			*p++ = number % 10 ? FRAME_STREAM | 3 : FRAME_STREAM | 2;
			p = write_varint(p, number << 2 | 2);
			*p++ = 0;
		}
		/* Until there is no room for more: then they end too. */
		for (; p < frames + 600 && open < number && number == end; open += 10) {
			*p++ = FRAME_RESET_STREAM;
			p = write_varint(p, open << 2 | 2);
			*p++ = 0;
			*p++ = 0;
		}
		T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 0, SHORT, pn++, frames,
			   (uint32_t)(p - frames)),
		     1);
		sides[SERVER].stream_cnt = 0; /* of the test's own memory */
		now_ns += MS_NS;              /* the pacer */
		pair_flush(SERVER);
		net_empty();
		T_EQ(sides[SERVER].error[0], 0);
		if (memory(SERVER) > most)
			most = memory(SERVER);
	}
	T_CHECK(number >= 1000000);
	T_CHECK(pair_stats(SERVER).streams <= 1000);
	T_CHECK(most < 1 << 20);
	pair_end();
}

/* A byte behind a hole on every stream there may be: buffers are no larger than what flow
 * control has counted, but for rounding up, and a bit for each byte. */
static void holes_on_all_streams_cost_no_more_than_the_window(void)
{
	struct qx_conn_config cfg = pair_config(SERVER);
	const uint32_t step = 10000;

	cfg.max_data_bytes = 100 * step;
	pair_start(&cfg);
	for (uint32_t i = 0; i < 100; i++) {
		uint8_t frame[16] = {FRAME_STREAM | 6}, *p = write_varint(frame + 1, 4 * i);

		p = write_varint(p, step - 1);
		*p++ = 1;
		*p++ = 7;
		T_EQ(pair_inject(SERVER, frame, (uint32_t)(p - frame)), 1);
	}
	T_EQ(pair_stats(SERVER).streams, 100);
	T_CHECK(memory(SERVER) < 100 * (2 * step * 9 / 8 + 512) + 16384);
	/* One byte more on any of them is one too many. */
	T_EQ(pair_inject(SERVER, BYTES(FRAME_STREAM | 6, 0, V2(step), 1, 7)), 0);
	T_EQ(sides[SERVER].error_code, STREAM_ERR_FLOW_CONTROL);
	pair_end();
}

/* It acknowledges all that is sent the moment it is, whether it has come or not (RFC 9000
 * section 21.4): it may harm itself, but the window has an end and nothing overflows when a
 * round trip takes no time. */
static void optimistic_acks_are_bounded(void)
{
	static uint8_t buf[64 * 1500];
	uint32_t lens[64], turns = 0;
	uint64_t acked = 0;

	pair_start(NULL);
	pair_write(SERVER, 1, 0, 1, false, false);
	pair_run(S_NS);
	T_EQ(pair_inject(SERVER, BYTES(FRAME_MAX_DATA, V8_MAX)), 1);
	T_EQ(pair_inject(SERVER, BYTES(FRAME_MAX_STREAM_DATA, 1, V8_MAX)), 1);
	pair_write(SERVER, 1, 1, 30000000, true, true);
	while (pair_stats(SERVER).unsent_bytes > 0 && turns++ < 100000) {
		const int n =
			qx_conn_send(sides[SERVER].c, now_ns, buf, sizeof(buf), lens, 64);
		uint8_t ack[32], *p;

		pair_events(SERVER);
		if (n == 0)
			now_ns += 100000; /* the pacer */
		p = ack_all(ack, SERVER);
		T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 0, SHORT, 1000 + turns, ack,
			   (uint32_t)(p - ack)),
		     1);
		acked += (uint64_t)n;
		T_CHECK(memory(SERVER) < 1 << 20);
	}
	T_CHECK(acked > 30000000 / 1500);
	T_EQ(sides[SERVER].error[0], 0);
	T_EQ(sides[SERVER].held_cnt, 0);
	T_EQ(pair_stats(SERVER).in_flight_bytes, 0);
	T_CHECK(pair_stats(SERVER).cwnd_bytes <= CC_WINDOW_MAX_BYTES);
	pair_end();
}

/* ---- What a packet costs ---- */

static uint8_t *fill_with(uint8_t *p, const uint8_t *end, const uint8_t *frame, uint32_t len)
{
	for (; p + len <= end; p += len)
		memcpy(p, frame, len);
	return p;
}

static uint8_t *many_acks(uint8_t *p, const uint8_t *end, uint32_t turn)
{
	const uint8_t ack[] = {FRAME_ACK, (uint8_t)(turn % 3), 0, 0, 0};

	return fill_with(p, end, ack, sizeof(ack));
}

static uint8_t *an_ack_of_many_ranges(uint8_t *p, const uint8_t *end, uint32_t turn)
{
	(void)turn;
	*p++ = FRAME_ACK;
	p = write_varint(p, 2000);
	*p++ = 0;
	p = write_varint2(p, 600);
	*p++ = 0;
	memset(p, 0, 1200); /* gaps and lengths */
	T_CHECK(p + 1200 <= end);
	return p + 1200;
}

static uint8_t *tiny_pieces(uint8_t *p, const uint8_t *end, uint32_t turn)
{
	for (uint32_t off = turn * 300 + 1; p + 10 <= end; off += 2) {
		*p++ = FRAME_STREAM | 6;
		*p++ = 0;
		p = write_varint(p, off);
		*p++ = 1;
		*p++ = pattern[off % sizeof(pattern)];
	}
	return p;
}

static uint8_t *overlaps(uint8_t *p, const uint8_t *end, uint32_t turn)
{
	for (uint32_t i = 0; p + 40 <= end; i++) {
		*p++ = FRAME_STREAM | 6;
		*p++ = 8;
		p = write_varint(p, 1 + turn % 7 + i % 11);
		*p++ = 30;
		memset(p, 7, 30);
		p += 30;
	}
	return p;
}

static uint8_t *new_streams(uint8_t *p, const uint8_t *end, uint32_t turn)
{
	for (uint64_t number = turn * 2 + 2; number < turn * 2 + 4 && p + 10 <= end;
	     number++) {
		*p++ = FRAME_RESET_STREAM;
		p = write_varint(p, number << 2 | 2);
		*p++ = 0;
		*p++ = 0;
	}
	return p;
}

static uint8_t *stops(uint8_t *p, const uint8_t *end, uint32_t turn)
{
	(void)turn;
	return fill_with(p, end, BYTES(FRAME_STOP_SENDING, 1, 7));
}

static uint8_t *credit(uint8_t *p, const uint8_t *end, uint32_t turn)
{
	for (uint32_t i = 0; p + 24 <= end; i++) {
		*p++ = FRAME_MAX_DATA;
		p = write_varint(p, (1 << 20) + turn * 1000 + i);
		*p++ = FRAME_MAX_STREAM_DATA;
		*p++ = 1;
		p = write_varint(p, (1 << 20) + turn * 1000 + i);
		*p++ = FRAME_MAX_STREAMS_BIDI;
		p = write_varint(p, 100 + turn * 1000 + i);
	}
	return p;
}

static uint8_t *blocked(uint8_t *p, const uint8_t *end, uint32_t turn)
{
	return fill_with(p, end,
			 BYTES(FRAME_DATA_BLOCKED, (uint8_t)(turn % 60),
			       FRAME_STREAM_DATA_BLOCKED, 0, 9, FRAME_STREAMS_BLOCKED_BIDI,
			       9));
}

static uint8_t *datagrams(uint8_t *p, const uint8_t *end, uint32_t turn)
{
	(void)turn;
	return fill_with(p, end, BYTES(FRAME_DATAGRAM_LEN, 0));
}

static uint8_t *frames_for_aioquic(uint8_t *p, const uint8_t *end, uint32_t turn)
{
	return fill_with(p, end,
			 BYTES(FRAME_PATH_CHALLENGE, (uint8_t)turn, 2, 3, 4, 5, 6, 7, 8));
}

static uint8_t *padding(uint8_t *p, const uint8_t *end, uint32_t turn)
{
	(void)turn;
	memset(p, 0, (size_t)(end - p));
	return p + (end - p);
}

/* Kinds of frames, packets full of them.  In the steady state a packet makes the engine
 * allocate next to nothing, whatever is in it, and its memory stays where it is. */
static void packets_full_of_anything_allocate_nothing(void)
{
	static const struct {
		const char *what;
		uint8_t *(*fill)(uint8_t *p, const uint8_t *end, uint32_t turn);
	} rows[] = {
		{"many ACKs", many_acks},
		{"an ACK of many ranges", an_ack_of_many_ranges},
		{"tiny pieces", tiny_pieces},
		{"overlaps", overlaps},
		{"new streams", new_streams},
		{"stops", stops},
		{"credit", credit},
		{"blocked", blocked},
		{"datagrams", datagrams},
		{"frames for aioquic", frames_for_aioquic},
		{"padding", padding},
	};
	enum {
		WARM = 50,
		TURNS = 200
	};
	static uint8_t packets[WARM + TURNS][MTU_MAX];
	struct qx_conn_config cfg = pair_config(SERVER);
	uint32_t lens[WARM + TURNS];

	cfg.max_streams_uni = 1000;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		uint64_t allocated = 0, most = 0;

		prepare(&cfg);
		T_EQ(qx_test_skip_numbers(sides[SERVER].c, 2001), 0);
		for (uint32_t i = 0; i < WARM + TURNS; i++) {
			uint8_t frames[1250];
			const uint8_t *end = rows[r].fill(frames, frames + sizeof(frames), i);

			lens[i] = forged(packets[i], SERVER, QX_EPOCH_ONE_RTT, 0, SHORT,
					 100 + i, frames, (uint32_t)(end - frames));
		}
		for (uint32_t i = 0; i < WARM + TURNS; i++) {
			if (i == WARM)
				allocated = counting_allocations;
			pair_deliver(SERVER, packets[i], lens[i]);
			if (sides[SERVER].error[0])
				T_FAIL("%s: %s", rows[r].what, sides[SERVER].error);
			if (memory(SERVER) > most)
				most = memory(SERVER);
		}
		allocated = counting_allocations - allocated;
		if (allocated > TURNS / 4 || most > 1 << 19)
			T_FAIL("%s: %llu allocations, %llu bytes", rows[r].what,
			       (unsigned long long)allocated, (unsigned long long)most);
		pair_end();
	}
}

/* Every second byte, in frames of one: the window and a bit per byte, no more. */
static void fragments_cost_no_more_than_the_window(void)
{
	uint8_t frames[1300];

	pair_start(NULL);
	for (uint32_t off = 1; off < 1 << 16;) {
		uint32_t len = 0;

		for (; len < sizeof(frames) - 16 && off < 1 << 16; off += 2) {
			frames[len++] = 0x0e;
			frames[len++] = 0;
			frames[len++] = (uint8_t)(0x80 | off >> 24);
			frames[len++] = (uint8_t)(off >> 16);
			frames[len++] = (uint8_t)(off >> 8);
			frames[len++] = (uint8_t)off;
			frames[len++] = 1;
			frames[len++] = pattern[off];
		}
		T_EQ(pair_inject(SERVER, frames, len), 1);
		net_empty();
	}
	T_CHECK(memory(SERVER) < (1 << 18) * 9 / 8 + 32768);
	T_EQ(pair_stream(SERVER, 0)->bytes, 0);
	pair_end();
}

/* What has been told cannot change, and a byte that came first stays. */
static void conflicting_data_changes_nothing(void)
{
	pair_start(NULL);
	T_EQ(pair_inject(SERVER, BYTES(0x0e, 0, 5, 1, 35)), 1);
	T_EQ(pair_inject(SERVER, BYTES(0x0a, 0, 8, 0, 7, 14, 21, 28, 99, 42, 49)), 1);
	T_EQ(pair_stream(SERVER, 0)->bytes, 8);
	T_EQ(pair_inject(SERVER, BYTES(0x0a, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 56)), 1);
	T_EQ(pair_stream(SERVER, 0)->bytes, 9);
	pair_end();
}

/* Gaps, one after another: what is remembered and what an ACK says stays bounded. */
static void gaps_in_numbers_are_bounded(void)
{
	pair_start(NULL);
	pair_write(SERVER, 1, 0, 10, true, true);
	for (uint64_t pn = 0; pn < 20000; pn++) {
		T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 0, SHORT, 10 * pn, "\1", 1), 1);
		pair_flush(SERVER);
		net_empty();
	}
	T_EQ(sides[SERVER].c->ack.received.cnt, RANGES_MAX);
	T_CHECK(sides[SERVER].packets > 19000);
	/* Nor does a packet of ours that it never acknowledges keep all behind it. */
	T_CHECK(memory(SERVER) < 1 << 20);
	T_CHECK(pair_stats(SERVER).lost_packets > 0);
	pair_end();
}

/* As many events as a packet can cause; the next turn begins small again. */
static void a_packet_full_of_datagrams_is_bounded(void)
{
	uint8_t frames[1300];

	for (uint32_t i = 0; i < sizeof(frames); i += 2) {
		frames[i] = 0x31;
		frames[i + 1] = 0;
	}
	pair_start(NULL);
	for (uint32_t i = 0; i < 100; i++)
		T_EQ(pair_inject(SERVER, frames, sizeof(frames)), 1);
	T_EQ(sides[SERVER].datagrams, 65000);
	T_CHECK(sides[SERVER].e->event_cap <= 1024);
	pair_end();
}

/* It acknowledges nothing, ever: what is kept for it is bounded by the window. */
static void a_peer_that_never_acknowledges_is_bounded(void)
{
	pair_start(NULL);
	net.cut[SERVER] = true;
	pair_write(CLIENT, 0, 0, 5000000, false, true);
	pair_run(1000 * S_NS);
	T_CHECK(memory(CLIENT) < 65536);
	T_CHECK(sides[CLIENT].packets < 100);
	pair_end();
}

/* It stops its own half of every stream and never reads ours. */
static void stop_sending_storms_end(void)
{
	uint8_t stop[] = {0x05, 1, 7};

	prepare(NULL);
	pair_write(SERVER, 1, 10, 1000, false, true);
	for (uint32_t i = 0; i < 1000; i++)
		T_EQ(pair_inject(SERVER, stop, sizeof(stop)), 1);
	T_EQ(sides[SERVER].held_cnt, 0);
	T_CHECK(pair_stream(SERVER, 1)->stopped);
	pair_end();
}

static const struct t_case cases[] = {
	{"opening streams costs what was promised", opening_streams_costs_what_was_promised},
	{"a million streams leave nothing behind", a_million_streams_leave_nothing_behind},
	{"holes on all streams cost no more than the window",
	 holes_on_all_streams_cost_no_more_than_the_window},
	{"optimistic ACKs are bounded", optimistic_acks_are_bounded},
	{"packets full of anything allocate nothing",
	 packets_full_of_anything_allocate_nothing},
	{"fragments cost no more than the window", fragments_cost_no_more_than_the_window},
	{"conflicting data changes nothing", conflicting_data_changes_nothing},
	{"gaps in numbers are bounded", gaps_in_numbers_are_bounded},
	{"a packet full of datagrams is bounded", a_packet_full_of_datagrams_is_bounded},
	{"a peer that never acknowledges is bounded",
	 a_peer_that_never_acknowledges_is_bounded},
	{"STOP_SENDING storms end", stop_sending_storms_end},
};

T_MAIN(cases)
