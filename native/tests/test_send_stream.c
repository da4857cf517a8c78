/* test_send_stream.c: every byte is sent until it is acknowledged, and every token comes
 * back once. */
#include <errno.h>

#include "stream.h"
#include "stream_memory.h"
#include "varint.h"

enum {
	ROOMY = 1 << 30
};

static struct send_stream s;
static uint8_t source[1 << 16], out[1 << 16];

static void begin(uint64_t limit)
{
	memory_begin();
	bytes_at(source, 0, sizeof(source));
	send_stream_init(&s, limit);
}

static void end(void)
{
	send_stream_free(&s, &test_env);
	memory_end();
}

/* Writes the next len bytes of the test's stream. */
static int put(uint32_t len, bool fin, uint64_t token)
{
	return send_stream_write(&s, &test_env, source + s.written, len, fin, token);
}

/* Sends at most room bytes and checks what went; returns false if there was nothing. */
static bool send(uint64_t room, uint64_t conn_room, struct send_piece *piece)
{
	if (!send_stream_peek(&s, conn_room, piece))
		return false;
	if (piece->len_bytes > room) {
		piece->len_bytes = room;
		piece->fin = false;
	}
	send_stream_take(&s, piece, out);
	T_CHECK(bytes_are(out, piece->off, piece->len_bytes));
	return true;
}

static void expect(uint64_t room, uint64_t off, uint64_t len, bool fin, bool is_new)
{
	struct send_piece piece;

	T_CHECK(send(room, ROOMY, &piece));
	T_EQ(piece.off, off);
	T_EQ(piece.len_bytes, len);
	T_EQ(piece.fin, fin);
	T_EQ(piece.is_new, is_new);
}

static void expect_nothing(void)
{
	struct send_piece piece;

	T_CHECK(!send_stream_peek(&s, ROOMY, &piece));
}

static void acked(uint64_t off, uint64_t len, bool fin)
{
	send_stream_acked(&s, &test_env, off, len, fin);
}

static void small_writes_share_blocks_and_go_in_order(void)
{
	begin(ROOMY);
	for (int i = 0; i < 50; i++)
		T_EQ(put(10, false, 0), 0);
	T_CHECK(test_chunks.lent_cnt <= 3);
	expect(300, 0, 300, false, true);
	expect(300, 300, 200, false, true);
	expect_nothing();
	acked(0, 500, false);
	T_EQ(test_chunks.lent_cnt, 0);
	T_EQ(put(5, false, 0), 0);
	expect(300, 500, 5, false, true);
	end();
}

static void a_large_copy_takes_all_or_nothing(void)
{
	begin(ROOMY);
	T_EQ(put(5000, true, 0), 0);
	expect(ROOMY, 0, 5000, true, true);
	acked(0, 5000, true);
	T_CHECK(send_stream_over(&s));
	T_EQ(test_chunks.lent_cnt, 0);
	end();
}

static void held_and_copied_data_mix_in_order(void)
{
	begin(ROOMY);
	T_EQ(put(10, false, 0), 0);
	T_EQ(put(1000, false, 1), 0);
	T_EQ(put(10, false, 0), 0);
	T_EQ(put(500, false, 2), 0);
	T_EQ(put(500, true, 3), 0);
	for (uint64_t off = 0; off < 2020; off += 101)
		expect(101, off, 101, off + 101 == 2020, true);
	expect_nothing();
	end();
}

/* A caller frees its buffer at RELEASED: too early is a use after free, twice is a crash. */
static void a_token_is_released_once_when_its_last_byte_is_acknowledged(void)
{
	begin(ROOMY);
	put(100, false, 1);
	put(100, false, 2);
	put(100, false, 3);
	expect(300, 0, 300, false, true);
	acked(0, 99, false);
	T_EQ(tokens_cnt, 0);
	acked(50, 100, false);
	T_EQ(tokens_released[1], 1);
	acked(0, 150, false);
	T_EQ(tokens_cnt, 1);
	acked(200, 100, false); /* behind a hole */
	T_EQ(tokens_cnt, 1);
	acked(150, 50, false);
	T_EQ(tokens_released[2], 1);
	T_EQ(tokens_released[3], 1);
	end();
	T_EQ(tokens_cnt, 3);
}

static void a_reset_releases_every_token_once(void)
{
	begin(ROOMY);
	put(100, false, 1);
	put(100, false, 2);
	put(10, false, 0);
	put(100, false, 3);
	expect(150, 0, 150, false, true);
	acked(0, 100, false);
	T_CHECK(send_stream_reset(&s, &test_env, 7));
	T_EQ(tokens_cnt, 3);
	acked(100, 50, false); /* its fate says nothing any more */
	send_stream_lost(&s, 100, 50, false);
	expect_nothing();
	T_EQ(s.next, 150); /* the final size that RESET_STREAM tells */
	end();
	T_EQ(tokens_cnt, 3);
	for (int i = 1; i <= 3; i++)
		T_EQ(tokens_released[i], 1);
}

static void freeing_releases_every_token_once(void)
{
	begin(ROOMY);
	for (uint64_t i = 1; i <= 5; i++)
		put(10, false, i);
	expect(25, 0, 25, false, true);
	acked(0, 20, false);
	end();
	T_EQ(tokens_cnt, 5);
}

static void an_empty_write_releases_its_token_at_once(void)
{
	begin(ROOMY);
	T_EQ(put(0, false, 9), 0);
	T_EQ(tokens_released[9], 1);
	expect_nothing();
	T_EQ(put(0, true, 10), 0);
	T_EQ(tokens_released[10], 1);
	expect(0, 0, 0, true, true);
	end();
}

static void lost_data_goes_before_new_data(void)
{
	begin(ROOMY);
	put(1000, false, 1);
	expect(100, 0, 100, false, true);
	expect(100, 100, 100, false, true);
	expect(100, 200, 100, false, true);
	send_stream_lost(&s, 100, 100, false);
	expect(60, 100, 60, false, false);
	expect(60, 160, 40, false, false);
	expect(60, 300, 60, false, true);
	end();
}

/* RFC 9000 section 13.3: "... data that is acknowledged ... is not retransmitted". */
static void what_was_acknowledged_is_not_resent(void)
{
	begin(ROOMY);
	put(1000, false, 1);
	expect(1000, 0, 1000, false, true);
	acked(200, 100, false);
	acked(400, 100, false);
	send_stream_lost(&s, 100, 500, false);
	expect(ROOMY, 100, 100, false, false);
	expect(ROOMY, 300, 100, false, false);
	expect(ROOMY, 500, 100, false, false);
	expect_nothing();
	end();
}

/* The packet was late, not lost. */
static void an_ack_after_the_loss_takes_it_off_the_list(void)
{
	begin(ROOMY);
	put(1000, false, 1);
	expect(1000, 0, 1000, false, true);
	send_stream_lost(&s, 100, 300, false);
	acked(200, 50, false);
	expect(ROOMY, 100, 100, false, false);
	send_stream_lost(&s, 100, 100, false);
	acked(0, 1000, false);
	expect_nothing();
	T_EQ(tokens_cnt, 1);
	end();
}

/* Both copies may be acknowledged, in any order and in pieces. */
static void overlapping_acks_count_once(void)
{
	begin(ROOMY);
	put(300, true, 1);
	expect(ROOMY, 0, 300, true, true);
	send_stream_lost(&s, 0, 300, true);
	expect(200, 0, 200, false, false);
	expect(200, 200, 100, true, false);
	acked(200, 100, true);
	T_CHECK(!send_stream_over(&s));
	acked(0, 300, true);
	T_CHECK(send_stream_over(&s));
	acked(0, 200, false);
	T_CHECK(send_stream_over(&s));
	T_EQ(tokens_cnt, 1);
	end();
}

static void fin_goes_alone_when_all_data_has_gone(void)
{
	begin(ROOMY);
	put(10, false, 0);
	expect(10, 0, 10, false, true);
	expect_nothing();
	put(0, true, 0);
	expect(0, 10, 0, true, true);
	expect_nothing();
	T_EQ(s.state, SEND_FIN_SENT);
	acked(10, 0, true);
	T_CHECK(!send_stream_over(&s));
	acked(0, 10, false);
	T_CHECK(send_stream_over(&s));
	end();
}

static void fin_that_did_not_fit_goes_with_the_rest(void)
{
	begin(ROOMY);
	put(10, true, 0);
	expect(9, 0, 9, false, true);
	T_EQ(s.state, SEND_OPEN);
	expect(9, 9, 1, true, true);
	T_EQ(s.state, SEND_FIN_SENT);
	end();
}

static void a_lost_fin_goes_again_with_or_without_data(void)
{
	begin(ROOMY);
	put(10, true, 0);
	expect(10, 0, 10, true, true);
	send_stream_lost(&s, 0, 10, true);
	expect(4, 0, 4, false, false);
	expect(ROOMY, 4, 6, true, false);
	acked(4, 6, false);
	send_stream_lost(&s, 10, 0, true);
	expect(ROOMY, 10, 0, true, true);
	acked(10, 0, true);
	send_stream_lost(&s, 0, 10, true); /* the first copy: FIN has arrived since */
	expect(ROOMY, 0, 4, false, false);
	expect_nothing();
	acked(0, 4, false);
	T_CHECK(send_stream_over(&s));
	end();
}

/* Credit is for new data only: FIN alone and what is resent have theirs already. */
static void limits_hold_new_data_back_and_nothing_else(void)
{
	struct send_piece piece;

	begin(100);
	put(200, true, 0);
	T_CHECK(send(ROOMY, 30, &piece));
	T_EQ(piece.len_bytes, 30);
	T_CHECK(!send(ROOMY, 0, &piece));
	T_CHECK(!send_stream_blocked(&s));
	expect(ROOMY, 30, 70, false, true);
	expect_nothing();
	T_CHECK(send_stream_blocked(&s));
	send_stream_lost(&s, 0, 30, false);
	T_CHECK(send(ROOMY, 0, &piece));
	T_EQ(piece.len_bytes, 30);
	s.limit = 200;
	T_CHECK(!send_stream_blocked(&s));
	expect(ROOMY, 100, 100, true, true);
	send_stream_lost(&s, 200, 0, true);
	T_CHECK(send(ROOMY, 0, &piece));
	T_CHECK(piece.fin);
	end();
}

static void a_finished_or_reset_stream_takes_no_more(void)
{
	begin(ROOMY);
	T_EQ(put(1, true, 1), 0);
	T_EQ(put(1, false, 2), -EPIPE);
	T_EQ(put(0, true, 3), -EPIPE);
	send_stream_reset(&s, &test_env, 1);
	T_EQ(put(1, false, 4), -EPIPE);
	T_EQ(tokens_cnt, 1); /* those refused were never held */
	end();
}

static void offsets_end_at_two_to_the_62nd(void)
{
	begin(UINT64_MAX);
	s.written = s.next = s.acked_below = QX_VARINT_MAX - 5;
	T_EQ(send_stream_write(&s, &test_env, source, 6, false, 0), -EFBIG);
	T_EQ(send_stream_write(&s, &test_env, source, 5, true, 0), 0);
	end();
}

/* Each state and event, decided in the table; RFC 9000 figure 2. */
static void every_state_meets_every_event(void)
{
	for (uint8_t state = 0; state < SEND_STATE_CNT; state++)
		for (int ev = 0; ev < SEND_EVENT_CNT; ev++) {
			const uint8_t to = send_next[state][ev];
			const bool was_reset = state >= SEND_RESET_QUEUED;

			T_CHECK(to < SEND_STATE_CNT);
			/* No way back from a reset, and none out of an end. */
			if (was_reset)
				T_CHECK(to >= SEND_RESET_QUEUED);
			if (state == SEND_ALL_ACKED || state == SEND_RESET_ACKED)
				T_EQ(to, state);
			/* Only a reset resets. */
			if (!was_reset && ev != SEND_EV_RESET)
				T_CHECK(to < SEND_RESET_QUEUED);
		}
	T_EQ(send_next[SEND_FIN_SENT][SEND_EV_RESET], SEND_RESET_QUEUED);
	T_EQ(send_next[SEND_RESET_SENT][SEND_EV_RESET_LOST], SEND_RESET_QUEUED);
	T_EQ(send_next[SEND_RESET_QUEUED][SEND_EV_RESET_ACKED], SEND_RESET_ACKED);
	T_EQ(send_next[SEND_FIN_SENT][SEND_EV_BEGIN_AGAIN], SEND_OPEN);
	T_EQ(send_next[SEND_RESET_SENT][SEND_EV_BEGIN_AGAIN], SEND_RESET_QUEUED);
}

/* 0-RTT was rejected: what was sent, lost and ended is unsent again; what was acknowledged,
 * and no peer should, stays so. */
static void a_stream_begins_again(void)
{
	begin(ROOMY);
	T_EQ(put(3000, true, 0), 0);
	expect(1000, 0, 1000, false, true);
	expect(1000, 1000, 1000, false, true);
	expect(1000, 2000, 1000, true, true);
	acked(0, 1000, false);
	acked(2000, 500, false);
	send_stream_lost(&s, 1000, 1000, false);
	send_stream_begin_again(&s);
	T_EQ(s.state, SEND_OPEN);
	T_EQ(send_stream_unsent(&s), 2000);
	expect_nothing();
	s.limit = 2500;
	expect(3000, 1000, 1500, false, true);
	expect_nothing();
	s.limit = 3000;
	expect(3000, 2500, 500, true, true);
	acked(1000, 2000, true);
	T_CHECK(send_stream_over(&s));
	send_stream_begin_again(&s);
	T_CHECK(send_stream_over(&s));
	expect_nothing();
	end();
}

static void a_reset_after_the_end_comes_too_late(void)
{
	begin(ROOMY);
	put(1, true, 0);
	expect(1, 0, 1, true, true);
	acked(0, 1, true);
	T_CHECK(!send_stream_reset(&s, &test_env, 5));
	T_CHECK(send_stream_over(&s));
	end();
}

/* Every second byte acknowledged, thousands of times: lists stay bounded, and no byte that
 * may be missing is forgotten. */
static void ten_thousand_holes_cost_bounded_memory_and_lose_nothing(void)
{
	static uint8_t has[60000];
	struct send_piece piece;

	begin(ROOMY);
	memset(has, 0, sizeof(has));
	T_EQ(put(60000, false, 1), 0);
	expect(ROOMY, 0, 60000, false, true);
	for (uint32_t i = 1; i < 60000; i += 2) {
		acked(i, 1, false);
		has[i] = 1;
	}
	T_CHECK(s.acked.cap <= 2 * SEND_SPANS_MAX && s.resend.cap <= 2 * SEND_SPANS_MAX);
	for (uint32_t i = 0; i < 60000; i += 2)
		send_stream_lost(&s, i, 1, false);
	T_CHECK(s.acked.cap <= 2 * SEND_SPANS_MAX && s.resend.cap <= 2 * SEND_SPANS_MAX);
	while (send(1200, ROOMY, &piece)) {
		T_CHECK(!piece.is_new);
		memset(has + piece.off, 1, piece.len_bytes);
		acked(piece.off, piece.len_bytes, false);
	}
	for (uint32_t i = 0; i < 60000; i++)
		T_EQ(has[i], 1);
	T_EQ(s.acked_below, 60000);
	T_EQ(tokens_cnt, 1);
	end();
}

static void falling_below_the_mark_is_told_once_each_time(void)
{
	begin(ROOMY);
	put(100, false, 0);
	send_stream_set_low(&s, 50);
	T_CHECK(!send_stream_fell(&s));
	expect(ROOMY, 0, 100, false, true);
	T_CHECK(!send_stream_fell(&s)); /* sent is not acknowledged */
	acked(0, 50, false);
	T_CHECK(!send_stream_fell(&s));
	acked(50, 1, false);
	T_CHECK(send_stream_fell(&s));
	T_CHECK(!send_stream_fell(&s));
	put(1, false, 0);
	T_CHECK(!send_stream_fell(&s)); /* 50 again: reached */
	send_stream_reset(&s, &test_env, 1);
	T_CHECK(send_stream_fell(&s));
	T_CHECK(!send_stream_fell(&s));
	end();
}

static const struct t_case cases[] = {
	{"small writes share blocks and go in order",
	 small_writes_share_blocks_and_go_in_order},
	{"a large copy takes all or nothing", a_large_copy_takes_all_or_nothing},
	{"held and copied data mix in order", held_and_copied_data_mix_in_order},
	{"a token is released once, when its last byte is acknowledged",
	 a_token_is_released_once_when_its_last_byte_is_acknowledged},
	{"a reset releases every token once", a_reset_releases_every_token_once},
	{"freeing releases every token once", freeing_releases_every_token_once},
	{"an empty write releases its token at once",
	 an_empty_write_releases_its_token_at_once},
	{"lost data goes before new data", lost_data_goes_before_new_data},
	{"what was acknowledged is not resent", what_was_acknowledged_is_not_resent},
	{"an ACK after the loss takes it off the list",
	 an_ack_after_the_loss_takes_it_off_the_list},
	{"overlapping ACKs count once", overlapping_acks_count_once},
	{"FIN goes alone when all data has gone", fin_goes_alone_when_all_data_has_gone},
	{"FIN that did not fit goes with the rest", fin_that_did_not_fit_goes_with_the_rest},
	{"a lost FIN goes again, with or without data",
	 a_lost_fin_goes_again_with_or_without_data},
	{"limits hold new data back and nothing else",
	 limits_hold_new_data_back_and_nothing_else},
	{"a finished or reset stream takes no more",
	 a_finished_or_reset_stream_takes_no_more},
	{"offsets end at two to the 62nd", offsets_end_at_two_to_the_62nd},
	{"every state meets every event", every_state_meets_every_event},
	{"a stream begins again", a_stream_begins_again},
	{"a reset after the end comes too late", a_reset_after_the_end_comes_too_late},
	{"ten thousand holes cost bounded memory and lose nothing",
	 ten_thousand_holes_cost_bounded_memory_and_lose_nothing},
	{"falling below the mark is told once each time",
	 falling_below_the_mark_is_told_once_each_time},
};
T_MAIN(cases)
