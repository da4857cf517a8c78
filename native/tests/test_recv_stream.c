/* test_recv_stream.c: bytes come out once, in order, whatever a peer makes of the frames. */
#include "stream.h"
#include "stream_memory.h"

enum {
	WINDOW = 1 << 20
};

static struct recv_stream s;
static uint8_t frame[1 << 16];

static void begin(uint64_t window)
{
	memory_begin();
	recv_stream_init(&s, window, window);
}

static void end(void)
{
	recv_stream_free(&s, &test_bufs);
	memory_end();
}

/* One STREAM frame, flow control passed. */
static uint64_t feed_bytes(uint64_t off, const uint8_t *data, uint32_t len, bool fin)
{
	if (off + len > s.flow.received)
		T_CHECK(flow_received(&s.flow, off + len - s.flow.received));
	return recv_stream_data(&s, &test_bufs, off, data, len, fin);
}

static uint64_t feed(uint64_t off, uint32_t len, bool fin)
{
	/* A copy of its own, as in a packet: reading beyond it is an error. */
	uint8_t *data = malloc(len + !len);
	uint64_t err;

	bytes_at(data, off, len);
	err = feed_bytes(off, data, len, fin);
	free(data);
	return err;
}

/* Reads all, checks it, and ends the turn. */
static void read_all(uint64_t len, bool fin)
{
	const uint64_t from = s.read;
	const uint8_t *data;
	bool got_fin;

	T_EQ(recv_stream_readable(&s, &data, &got_fin), len);
	T_EQ(got_fin, fin);
	T_CHECK(bytes_are(data, from, len));
	recv_stream_did_read(&s, (uint32_t)len, fin);
	T_CHECK(bytes_are(data, from, len)); /* until it settles */
	recv_stream_settle(&s, &test_bufs);
}

static void data_in_order_is_readable_at_once_and_leaves_no_memory(void)
{
	begin(WINDOW);
	T_EQ(feed(0, 1000, false), 0);
	T_EQ(feed(1000, 500, false), 0);
	T_CHECK(recv_stream_has_news(&s));
	read_all(1500, false);
	T_CHECK(!recv_stream_has_news(&s));
	T_EQ(test_bufs.lent_cnt, 0);
	T_EQ(feed(1500, 1, true), 0);
	read_all(1, true);
	T_CHECK(!recv_stream_has_news(&s));
	end();
}

static void a_hole_holds_back_what_follows_it(void)
{
	begin(WINDOW);
	T_EQ(feed(100, 100, false), 0);
	T_CHECK(!recv_stream_has_news(&s));
	T_EQ(feed(300, 100, true), 0);
	T_EQ(feed(0, 100, false), 0);
	read_all(200, false);
	T_EQ(feed(200, 100, false), 0);
	read_all(200, true);
	T_EQ(test_bufs.lent_cnt, 0);
	T_CHECK(s.ahead == NULL);
	end();
}

static void duplicates_and_overlaps_change_nothing(void)
{
	begin(WINDOW);
	T_EQ(feed(0, 100, false), 0);
	T_EQ(feed(0, 100, false), 0);
	T_EQ(feed(50, 100, false), 0);
	T_EQ(feed(200, 50, false), 0);
	T_EQ(feed(190, 70, false), 0);
	T_EQ(feed(120, 300, false), 0);
	read_all(420, false);
	T_EQ(feed(0, 420, false), 0);
	T_CHECK(!recv_stream_has_news(&s));
	end();
}

/* RFC 9000 section 2.2: "the data at a given offset MUST NOT change".  What is delivered is
 * what came first, so that nobody can change what was checked already. */
static void of_conflicting_bytes_the_first_count(void)
{
	const uint8_t *data;
	bool fin;

	begin(WINDOW);
	memset(frame, 'a', 100);
	T_EQ(feed_bytes(10, frame, 10, false), 0);
	memset(frame, 'b', 100);
	T_EQ(feed_bytes(5, frame, 20, false), 0);
	memset(frame, 'c', 100);
	T_EQ(feed_bytes(0, frame, 30, false), 0);
	memset(frame, 'd', 100);
	T_EQ(feed_bytes(0, frame, 30, false), 0);
	T_EQ(recv_stream_readable(&s, &data, &fin), 30);
	T_CHECK(memcmp(data, "cccccbbbbbaaaaaaaaaabbbbbccccc", 30) == 0);
	end();
}

static void a_fin_alone_ends_the_stream(void)
{
	begin(WINDOW);
	T_EQ(feed(0, 10, false), 0);
	read_all(10, false);
	T_EQ(feed(10, 0, true), 0);
	T_CHECK(recv_stream_has_news(&s));
	read_all(0, true);
	T_EQ(feed(10, 0, true), 0); /* again */
	T_CHECK(!recv_stream_has_news(&s));
	end();
}

/* No memory for a FIN that is far ahead, nor a byte beyond what arrived. */
static void a_fin_ahead_of_its_data_waits(void)
{
	begin(WINDOW);
	T_EQ(feed(WINDOW, 0, true), 0);
	T_EQ(test_bufs.lent_cnt, 0);
	T_EQ(feed(0, 60000, false), 0);
	read_all(60000, false);
	for (uint64_t off = 60000; off < WINDOW; off += 50000) {
		uint32_t n = WINDOW - off < 50000 ? (uint32_t)(WINDOW - off) : 50000;

		T_EQ(feed(off, n, false), 0);
		read_all(n, off + n == WINDOW);
	}
	end();
}

/* RFC 9000 section 4.5: FINAL_SIZE_ERROR for a final size that changes, that lies below
 * data received, or that data goes beyond. */
static void the_final_size_never_changes(void)
{
	static const struct {
		uint64_t off;
		uint32_t len;
		bool fin;
	} wrong[] = {{100, 1, false}, {50, 50, true},  {0, 99, true},
		     {101, 0, true},  {101, 0, false}, {100, 1, true}};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const bool legal = wrong[i].off + wrong[i].len == 100;

		begin(WINDOW);
		T_EQ(feed(90, 10, true), 0);
		T_EQ(feed(wrong[i].off, wrong[i].len, wrong[i].fin),
		     legal ? 0 : STREAM_ERR_FINAL_SIZE);
		end();
	}
	begin(WINDOW);
	T_EQ(feed(50, 50, false), 0);
	T_EQ(feed(0, 99, true), STREAM_ERR_FINAL_SIZE);
	end();
	begin(WINDOW);
	T_EQ(feed(50, 50, false), 0);
	T_EQ(recv_stream_reset(&s, 1, 99), STREAM_ERR_FINAL_SIZE);
	T_EQ(recv_stream_reset(&s, 1, 100), 0);
	T_EQ(recv_stream_reset(&s, 1, 101), STREAM_ERR_FINAL_SIZE);
	T_EQ(feed(100, 1, false), STREAM_ERR_FINAL_SIZE);
	T_EQ(feed(0, 99, true), STREAM_ERR_FINAL_SIZE);
	T_EQ(feed(0, 100, true), 0);
	end();
	begin(WINDOW);
	T_EQ(feed(0, 10, true), 0);
	read_all(10, true);
	T_EQ(recv_stream_reset(&s, 1, 11), STREAM_ERR_FINAL_SIZE);
	T_EQ(recv_stream_reset(&s, 1, 10), 0); /* RFC 9000 section 3.2: too late */
	T_CHECK(!recv_stream_has_news(&s));
	end();
}

static void a_reset_drops_what_is_behind_a_hole_only(void)
{
	begin(WINDOW);
	T_EQ(feed(0, 10, false), 0);
	T_EQ(feed(20, 10, false), 0);
	T_EQ(recv_stream_reset(&s, 42, 100), 0);
	T_EQ(feed(10, 10, false), 0);
	read_all(10, false);
	T_CHECK(recv_stream_has_news(&s)); /* the reset itself */
	T_EQ(s.reset_code, 42);
	T_CHECK(!recv_stream_over(&s));
	s.reset_told = true;
	T_CHECK(recv_stream_over(&s));
	T_EQ(test_bufs.lent_cnt, 0);
	end();
}

static void a_stopped_stream_discards_and_ends_with_its_size(void)
{
	begin(WINDOW);
	T_EQ(feed(0, 10, false), 0);
	T_EQ(feed(20, 10, false), 0);
	T_CHECK(recv_stream_stop(&s, 3));
	T_CHECK(s.stop_pending && !recv_stream_has_news(&s));
	recv_stream_settle(&s, &test_bufs);
	T_EQ(test_bufs.lent_cnt, 0);
	T_EQ(feed(10, 10, false), 0);
	T_EQ(feed(30, 1000, false), 0);
	T_EQ(test_bufs.lent_cnt, 0);
	T_CHECK(!recv_stream_has_news(&s) && !recv_stream_over(&s));
	s.stop_pending = false;
	T_EQ(feed(1030, 0, true), 0);
	T_CHECK(!recv_stream_has_news(&s) && recv_stream_over(&s));
	end();
	begin(WINDOW);
	T_CHECK(recv_stream_stop(&s, 3));
	T_EQ(recv_stream_reset(&s, 3, 0), 0);
	T_CHECK(!s.stop_pending); /* there is nothing to stop any more */
	end();
}

static void every_state_meets_every_event(void)
{
	for (uint8_t state = 0; state < RECV_STATE_CNT; state++)
		for (int ev = 0; ev < RECV_EVENT_CNT; ev++) {
			const uint8_t to = recv_next[state][ev];

			T_CHECK(to < RECV_STATE_CNT);
			T_CHECK(to >= state); /* no way back */
			if (state >= RECV_READ)
				T_EQ(to, state);
			if (ev != RECV_EV_RESET && state < RECV_READ)
				T_CHECK(to != RECV_RESET);
		}
	T_EQ(recv_next[RECV_OPEN][RECV_EV_RESET], RECV_RESET);
	T_EQ(recv_next[RECV_OPEN][RECV_EV_ALL_READ], RECV_OPEN);
}

/* RFC 9000 section 21.7: single bytes, every second one, last first.  Each costs its place
 * and a bit, and what fills the holes sets all free. */
static void one_byte_fragments_with_gaps_cost_bits(void)
{
	enum {
		SIZE = 100000
	};

	begin(WINDOW);
	for (uint64_t off = SIZE - 1; off < SIZE; off -= 2)
		T_EQ(feed(off, 1, false), 0);
	T_CHECK(!recv_stream_has_news(&s));
	T_CHECK(s.buf_cap_bytes <= 2 * SIZE);
	for (uint64_t off = 0; off < SIZE; off += 2)
		T_EQ(feed(off, 1, false), 0);
	read_all(SIZE, false);
	T_EQ(test_bufs.lent_cnt, 0);
	end();
}

/* A byte that a hole keeps here does not keep the buffer of a whole turn. */
static void what_a_hole_keeps_is_kept_in_little_memory(void)
{
	begin(WINDOW);
	for (int turn = 0; turn < 5; turn++) {
		const uint64_t from = s.read;

		for (uint64_t off = 0; off < 200000; off += 50000)
			T_EQ(feed(from + off, 50000, false), 0);
		T_EQ(feed(from + 200001, 1, false), 0);
		read_all(200000, false);
		T_EQ(s.buf_cap_bytes, 1 << BUFS_MIN_SHIFT);
		T_EQ(feed(from + 200000, 1, false), 0);
		read_all(2, false);
		T_CHECK(s.buf == NULL);
		/* Nor is it left with one, however much there was before. */
		T_EQ(feed(from + 200010, 1, false), 0);
		recv_stream_settle(&s, &test_bufs);
		T_EQ(s.buf_cap_bytes, 1 << BUFS_MIN_SHIFT);
		T_EQ(feed(from + 200002, 8, false), 0);
		read_all(9, false);
		recv_stream_consume(&s, 200011, 0, 0, &(bool){false});
		s.flow.limit_sent = s.flow.limit;
	}
	for (uint64_t off = s.read; off < s.read + 200000; off += 50000)
		T_EQ(feed(off, 50000, false), 0);
	read_all(200000, false);
	T_EQ(feed(s.read + 1, 1, false), 0);
	T_CHECK(s.buf_cap_bytes > 1 << BUFS_MIN_SHIFT); /* as the last turn had */
	recv_stream_settle(&s, &test_bufs);
	T_EQ(s.buf_cap_bytes, 1 << BUFS_MIN_SHIFT);
	end();
}

/* A stream that never pauses, always with a hole, for a hundred windows. */
static void a_long_stream_with_holes_stays_within_its_window(void)
{
	enum {
		SMALL = 1 << 16
	};
	bool announce;

	begin(SMALL);
	T_EQ(feed(500, 500, false), 0);
	for (uint64_t at = 0; at < 100 * SMALL; at += 1000) {
		T_EQ(feed(at + 1500, 500, false), 0);
		T_EQ(feed(at, 500, false), 0);
		read_all(1000, false);
		T_CHECK(s.buf && s.buf_cap_bytes <= 4096);
		recv_stream_consume(&s, 1000, 0, 0, &announce);
		s.flow.limit_sent = s.flow.limit;
	}
	end();
}

/* What no memory can hold ends the connection, not the process. */
static void a_window_beyond_all_memory_ends_in_an_internal_error(void)
{
	begin((uint64_t)1 << 62);
	T_EQ(feed(((uint64_t)1 << 62) - 2, 1, false), STREAM_ERR_INTERNAL);
	T_EQ(test_bufs.lent_cnt, 0);
	T_EQ(feed(0, 10, false), 0);
	read_all(10, false);
	end();
}

/* Credit is given once for each byte, read or not. */
static void consuming_more_than_was_read_gives_no_more_credit(void)
{
	bool announce;

	begin(WINDOW);
	T_EQ(feed(0, 1000, true), 0);
	T_EQ(recv_stream_consume(&s, 10, 0, 0, &announce), 0);
	read_all(1000, true);
	T_EQ(recv_stream_consume(&s, 600, 0, 0, &announce), 600);
	T_CHECK(!recv_stream_over(&s)); /* the application has not seen it all */
	T_EQ(recv_stream_consume(&s, UINT64_MAX, 0, 0, &announce), 400);
	T_CHECK(!announce); /* no more will come */
	T_CHECK(recv_stream_over(&s));
	T_EQ(recv_stream_consume(&s, 1, 0, 0, &announce), 0);
	end();
}

/* A peer may leave a hole as large as its window and fill it byte by byte.  Looking through
 * what is missing for each of these frames would be 400,000 times two megabytes of bits, and
 * the two minutes that a program has. */
static void filling_a_hole_costs_nothing_for_its_size(void)
{
	enum {
		HOLE = 1 << 24,
		FRAMES = 400000
	};
	const uint8_t zero = 0;
	const uint8_t *data;
	bool fin;

	begin(2 * HOLE);
	T_EQ(feed_bytes(HOLE, &zero, 1, false), 0);
	for (uint64_t off = 0; off < FRAMES; off++)
		T_EQ(feed_bytes(off, &zero, 1, false), 0);
	T_EQ(recv_stream_readable(&s, &data, &fin), FRAMES);
	end();
}

static const struct t_case cases[] = {
	{"data in order is readable at once and leaves no memory",
	 data_in_order_is_readable_at_once_and_leaves_no_memory},
	{"a hole holds back what follows it", a_hole_holds_back_what_follows_it},
	{"filling a hole costs nothing for its size",
	 filling_a_hole_costs_nothing_for_its_size},
	{"duplicates and overlaps change nothing", duplicates_and_overlaps_change_nothing},
	{"of conflicting bytes the first count", of_conflicting_bytes_the_first_count},
	{"a FIN alone ends the stream", a_fin_alone_ends_the_stream},
	{"a FIN ahead of its data waits", a_fin_ahead_of_its_data_waits},
	{"the final size never changes", the_final_size_never_changes},
	{"a reset drops what is behind a hole only",
	 a_reset_drops_what_is_behind_a_hole_only},
	{"a stopped stream discards and ends with its size",
	 a_stopped_stream_discards_and_ends_with_its_size},
	{"every state meets every event", every_state_meets_every_event},
	{"one-byte fragments with gaps cost bits", one_byte_fragments_with_gaps_cost_bits},
	{"what a hole keeps is kept in little memory",
	 what_a_hole_keeps_is_kept_in_little_memory},
	{"a long stream with holes stays within its window",
	 a_long_stream_with_holes_stays_within_its_window},
	{"a window beyond all memory ends in an internal error",
	 a_window_beyond_all_memory_ends_in_an_internal_error},
	{"consuming more than was read gives no more credit",
	 consuming_more_than_was_read_gives_no_more_credit},
};
T_MAIN(cases)
