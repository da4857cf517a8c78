/* recv_stream.c: reassembly in one buffer, with a bit per byte that arrived too early. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

/* A buffer starts as large as the last turn's, so that a fast stream does not grow one step
 * by step each turn; no larger than this, since many streams may do so. */
enum {
	HINT_MAX_SHIFT = 18
};

/* RFC 9000 section 3.2.  A reset behind complete data is none: recv_stream_reset. */
const uint8_t recv_next[RECV_STATE_CNT][RECV_EVENT_CNT] = {
	/*                   EV_SIZE          EV_ALL_READ      EV_RESET   */
	[RECV_OPEN] = {RECV_SIZE_KNOWN, RECV_OPEN, RECV_RESET},
	[RECV_SIZE_KNOWN] = {RECV_SIZE_KNOWN, RECV_READ, RECV_RESET},
	[RECV_READ] = {RECV_READ, RECV_READ, RECV_READ},
	[RECV_RESET] = {RECV_RESET, RECV_RESET, RECV_RESET},
};

static void step(struct recv_stream *s, enum recv_event ev)
{
	s->state = recv_next[s->state][ev];
}

void recv_stream_init(struct recv_stream *s, uint64_t window_bytes, uint64_t window_max_bytes)
{
	memset(s, 0, sizeof(*s));
	s->final_size = RECV_SIZE_UNKNOWN;
	flow_init(&s->flow, window_bytes, window_max_bytes);
}

void recv_stream_free(struct recv_stream *s, struct bufs *bufs)
{
	if (s->buf)
		bufs_give(bufs, s->buf, s->buf_cap_bytes);
	free(s->ahead);
	s->buf = NULL;
	s->ahead = NULL;
}

/* ---- The buffer ---- */

/* Where the buffer would begin if it were packed now: whole words of bits, so that moving
 * bytes down moves bits by words. */
static uint64_t packed_off(const struct recv_stream *s)
{
	return s->read & ~UINT64_C(63);
}

/* pack moves what is unread to the front of to, a buffer of cap_bytes or the one it is in.
 * Returns false, changing nothing, if there is no memory for its bits. */
static bool pack(struct recv_stream *s, struct bufs *bufs, uint8_t *to, uint32_t cap_bytes)
{
	const uint64_t base = packed_off(s), skip = base - s->buf_off;
	const size_t live = s->top > s->read ? s->top - base : 0;
	const size_t words = (live + 63) / 64;

	if (s->ahead && to != s->buf) {
		uint64_t *ahead = calloc(cap_bytes / 64, sizeof(*ahead));

		if (!ahead)
			return false;
		memcpy(ahead, s->ahead + skip / 64, words * sizeof(*ahead));
		free(s->ahead);
		s->ahead = ahead;
	} else if (s->ahead && skip > 0) {
		const size_t had = (s->top - s->buf_off + 63) / 64;

		memmove(s->ahead, s->ahead + skip / 64, words * sizeof(*s->ahead));
		memset(s->ahead + words, 0, (had - words) * sizeof(*s->ahead));
	}
	if (live > 0) {
		assert(s->buf);
		memmove(to, s->buf + skip, live);
	}
	if (to != s->buf) {
		if (s->buf)
			bufs_give(bufs, s->buf, s->buf_cap_bytes);
		s->buf = to;
		s->buf_cap_bytes = cap_bytes;
	}
	s->buf_off = base;
	return true;
}

/* make_room makes the buffer reach to end. */
static bool make_room(struct recv_stream *s, struct bufs *bufs, uint64_t end)
{
	const uint64_t need = end - packed_off(s);
	uint64_t want = need;
	uint32_t cap;
	uint8_t *to;

	if (s->buf && end - s->buf_off <= s->buf_cap_bytes)
		return true;
	if (!s->buf)
		s->buf_off = packed_off(s);
	else if (need <= s->buf_cap_bytes / 2)
		/* Moves at most half a buffer to gain at least half a buffer. */
		return pack(s, bufs, s->buf, s->buf_cap_bytes);
	else if (packed_off(s) > s->buf_off)
		want += need / 2;
	/* More than flow control has counted, but not for longer than this turn: see settle. */
	if (s->hint_shift && want < (uint64_t)1 << s->hint_shift)
		want = (uint64_t)1 << s->hint_shift;
	to = bufs_take(bufs, want, &cap);
	if (!to)
		return false;
	if (pack(s, bufs, to, cap))
		return true;
	bufs_give(bufs, to, cap);
	return false;
}

/* ---- The bits: from ready on, set means arrived; below, nobody asks ---- */

static bool is_set_at(const uint64_t *bits, uint64_t bit)
{
	return bits[bit / 64] >> (bit % 64) & 1;
}

/* run_from counts equal bits from bit on, up to end; *is_set tells which. */
static uint64_t run_from(const uint64_t *bits, uint64_t bit, uint64_t end, bool *is_set)
{
	const uint64_t start = bit;

	*is_set = is_set_at(bits, bit);
	while (bit < end) {
		/* The bits that differ, from here on in this word. */
		uint64_t word = (*is_set ? ~bits[bit / 64] : bits[bit / 64]) >> (bit % 64);

		if (word != 0) {
			bit += (uint64_t)__builtin_ctzll(word);
			break;
		}
		bit += 64 - bit % 64;
	}
	return (bit < end ? bit : end) - start;
}

static void set_bits(uint64_t *bits, uint64_t bit, uint64_t end)
{
	while (bit < end) {
		const uint64_t n = end - bit < 64 - bit % 64 ? end - bit : 64 - bit % 64;

		bits[bit / 64] |= (~UINT64_C(0) >> (64 - n)) << (bit % 64);
		bit += n;
	}
}

/* advance moves ready to end, and over what had arrived there ahead.  Asked for one bit
 * first: in front of a hole as large as the window, counting what is missing would be a
 * megabyte of bits for each of the frames that fill it. */
static void advance(struct recv_stream *s, uint64_t end)
{
	const uint64_t bit = end - s->buf_off;
	bool is_set;

	s->ready = end;
	if (end < s->top && is_set_at(s->ahead, bit))
		s->ready += run_from(s->ahead, bit, s->top - s->buf_off, &is_set);
}

/* place stores bytes of which some may be there already.  The first to arrive stay: a peer
 * that sends others has broken the protocol (RFC 9000 section 2.2), and what the application
 * has seen cannot change. */
static void place(struct recv_stream *s, uint64_t off, const uint8_t *data, uint64_t end)
{
	for (uint64_t at = off; at < end;) {
		const uint64_t bit = at - s->buf_off;
		bool is_set;
		const uint64_t n = run_from(s->ahead, bit, end - s->buf_off, &is_set);

		if (!is_set) {
			memcpy(s->buf + bit, data + (at - off), n);
			set_bits(s->ahead, bit, bit + n);
		}
		at += n;
	}
	if (end > s->top)
		s->top = end;
	if (off == s->ready)
		advance(s, end);
}

static uint64_t store(struct recv_stream *s, struct bufs *bufs, uint64_t off,
		      const uint8_t *data, uint64_t end)
{
	if (end <= s->ready || off == end)
		return 0;
	if (off < s->ready) {
		data += s->ready - off;
		off = s->ready;
	}
	if (!make_room(s, bufs, end))
		return STREAM_ERR_INTERNAL;
	if (off == s->ready && s->top == s->ready) {
		memcpy(s->buf + (off - s->buf_off), data, end - off);
		s->ready = s->top = end;
		return 0;
	}
	if (!s->ahead) {
		s->ahead = calloc(s->buf_cap_bytes / 64, sizeof(*s->ahead));
		if (!s->ahead)
			return STREAM_ERR_INTERNAL;
	}
	place(s, off, data, end);
	return 0;
}

/* ---- Frames ---- */

uint64_t recv_stream_data(struct recv_stream *s, struct bufs *bufs, uint64_t off,
			  const uint8_t *data, uint32_t len_bytes, bool fin)
{
	const uint64_t end = off + len_bytes;

	/* RFC 9000 section 4.5, in every state: the final size never changes. */
	if (s->final_size != RECV_SIZE_UNKNOWN) {
		if (end > s->final_size || (fin && end != s->final_size))
			return STREAM_ERR_FINAL_SIZE;
	} else if (fin) {
		if (end < s->flow.received)
			return STREAM_ERR_FINAL_SIZE;
		s->final_size = end;
		step(s, RECV_EV_SIZE);
	}
	if (s->stopped || s->state == RECV_READ || s->state == RECV_RESET)
		return 0;
	return store(s, bufs, off, data, end);
}

/* complete: Data Recvd, nothing is missing. */
static bool complete(const struct recv_stream *s)
{
	return s->state == RECV_SIZE_KNOWN && s->ready == s->final_size;
}

uint64_t recv_stream_reset(struct recv_stream *s, uint64_t code, uint64_t final_size)
{
	if (s->final_size != RECV_SIZE_UNKNOWN ? final_size != s->final_size
					       : final_size < s->flow.received)
		return STREAM_ERR_FINAL_SIZE;
	if (s->state == RECV_READ || s->state == RECV_RESET || (complete(s) && !s->stopped))
		return 0;
	step(s, RECV_EV_RESET);
	s->final_size = final_size;
	s->reset_code = code;
	s->stop_pending = false;
	s->top = s->ready;
	return 0;
}

/* ---- The application ---- */

uint32_t recv_stream_readable(const struct recv_stream *s, const uint8_t **data, bool *fin)
{
	/* Fits: a buffer has at most 2 GiB. */
	const uint32_t len = (uint32_t)(s->ready - s->read);

	*fin = !s->stopped && complete(s) && !s->fin_told;
	*data = len > 0 ? s->buf + (s->read - s->buf_off) : NULL;
	return len;
}

void recv_stream_did_read(struct recv_stream *s, uint32_t len_bytes, bool fin)
{
	s->read += len_bytes;
	if (fin)
		s->fin_told = true;
}

void recv_stream_settle(struct recv_stream *s, struct bufs *bufs)
{
	const uint64_t used = s->top - s->buf_off, live = s->top - packed_off(s);
	uint32_t cap;
	uint8_t *to;

	if (!s->buf)
		return;
	s->hint_shift = BUFS_MIN_SHIFT;
	while (s->hint_shift < HINT_MAX_SHIFT && used > (uint64_t)1 << s->hint_shift)
		s->hint_shift++;
	if (s->top == s->read) {
		recv_stream_free(s, bufs);
		return;
	}
	/* A hole keeps the rest here, maybe for long: not in a buffer for a whole turn. */
	if (live > s->buf_cap_bytes / 4 || s->buf_cap_bytes == 1 << BUFS_MIN_SHIFT)
		return;
	to = bufs_take(bufs, live, &cap);
	if (to && !pack(s, bufs, to, cap))
		bufs_give(bufs, to, cap);
}

uint64_t recv_stream_consume(struct recv_stream *s, uint64_t bytes, uint64_t smoothed_rtt_ns,
			     uint64_t now_ns, bool *announce)
{
	/* Of a stopped or reset stream everything has been credited, read or not. */
	const uint64_t most = s->read > s->flow.consumed ? s->read - s->flow.consumed : 0;

	if (bytes > most)
		bytes = most;
	*announce = flow_consumed(&s->flow, bytes, smoothed_rtt_ns, now_ns) &&
		    s->state == RECV_OPEN && !s->stopped;
	if (s->fin_told && s->flow.consumed == s->final_size)
		step(s, RECV_EV_ALL_READ);
	return bytes;
}

bool recv_stream_stop(struct recv_stream *s, uint64_t code)
{
	if (s->state == RECV_READ || s->state == RECV_RESET)
		return false;
	if (s->stopped)
		return true;
	s->stop_pending = !complete(s);
	s->stopped = true;
	s->stop_code = code;
	s->ready = s->top = s->read;
	return true;
}

bool recv_stream_has_news(const struct recv_stream *s)
{
	return s->ready > s->read || (!s->stopped && complete(s) && !s->fin_told) ||
	       (s->state == RECV_RESET && !s->reset_told);
}

bool recv_stream_over(const struct recv_stream *s)
{
	return s->state == RECV_READ || (s->state == RECV_RESET && s->reset_told) ||
	       (s->state == RECV_SIZE_KNOWN && s->stopped && !s->stop_pending);
}
