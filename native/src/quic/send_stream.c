/* send_stream.c: what of a stream is unsent, under way, lost, acknowledged. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "stream.h"
#include "varint.h"

/* RFC 9000 section 3.1.  After a reset the fate of data says nothing any more: it has been
 * dropped here, and the peer may or may not have it.  RESET_QUEUED can see an ACK of the
 * RESET_STREAM that was taken for lost. */
const uint8_t send_next[SEND_STATE_CNT][SEND_EVENT_CNT] = {
	[SEND_OPEN] = {SEND_FIN_SENT, SEND_OPEN, SEND_RESET_QUEUED, SEND_OPEN, SEND_OPEN,
		       SEND_OPEN, SEND_OPEN},
	[SEND_FIN_SENT] = {SEND_FIN_SENT, SEND_ALL_ACKED, SEND_RESET_QUEUED, SEND_FIN_SENT,
			   SEND_FIN_SENT, SEND_FIN_SENT, SEND_OPEN},
	[SEND_ALL_ACKED] = {SEND_ALL_ACKED, SEND_ALL_ACKED, SEND_ALL_ACKED, SEND_ALL_ACKED,
			    SEND_ALL_ACKED, SEND_ALL_ACKED, SEND_ALL_ACKED},
	[SEND_RESET_QUEUED] = {SEND_RESET_QUEUED, SEND_RESET_QUEUED, SEND_RESET_QUEUED,
			       SEND_RESET_SENT, SEND_RESET_QUEUED, SEND_RESET_ACKED,
			       SEND_RESET_QUEUED},
	[SEND_RESET_SENT] = {SEND_RESET_SENT, SEND_RESET_SENT, SEND_RESET_SENT,
			     SEND_RESET_SENT, SEND_RESET_QUEUED, SEND_RESET_ACKED,
			     SEND_RESET_QUEUED},
	[SEND_RESET_ACKED] = {SEND_RESET_ACKED, SEND_RESET_ACKED, SEND_RESET_ACKED,
			      SEND_RESET_ACKED, SEND_RESET_ACKED, SEND_RESET_ACKED,
			      SEND_RESET_ACKED},
};

static void step(struct send_stream *s, enum send_event ev)
{
	s->state = send_next[s->state][ev];
}

void send_stream_init(struct send_stream *s, uint64_t limit)
{
	memset(s, 0, sizeof(*s));
	spans_init(&s->acked);
	spans_init(&s->resend);
	s->limit = limit;
	s->blocked_at = UINT64_MAX;
}

/* ---- Chunks ---- */

static void drop_chunk(const struct send_env *env, struct send_chunk *c)
{
	const uint64_t token = c->token;

	pool_give(c->cap_bytes ? env->chunks : env->nodes, c);
	if (token)
		env->released(env->arg, token);
}

/* drop_chunks_below releases what lies wholly below off. */
static void drop_chunks_below(struct send_stream *s, const struct send_env *env, uint64_t off)
{
	while (s->head && s->head->off + s->head->len_bytes <= off) {
		struct send_chunk *c = s->head;

		s->head = c->next;
		if (!s->head)
			s->tail = NULL;
		if (s->resend_cursor == c)
			s->resend_cursor = NULL;
		if (s->cursor == c)
			s->cursor = NULL;
		drop_chunk(env, c);
	}
}

void send_stream_free(struct send_stream *s, const struct send_env *env)
{
	drop_chunks_below(s, env, UINT64_MAX);
	spans_free(&s->acked);
	spans_free(&s->resend);
}

static void append(struct send_stream *s, struct send_chunk *first, struct send_chunk *last)
{
	if (s->tail)
		s->tail->next = first;
	else
		s->head = first;
	s->tail = last;
	if (!s->cursor)
		s->cursor = first;
}

static int write_held(struct send_stream *s, const struct send_env *env, const uint8_t *data,
		      uint32_t len_bytes, uint64_t token)
{
	struct send_chunk *c = pool_take(env->nodes);

	if (!c)
		return -ENOMEM;
	*c = (struct send_chunk){
		.data = data, .off = s->written, .len_bytes = len_bytes, .token = token};
	append(s, c, c);
	return 0;
}

/* fill copies as much as the chunk has room for and returns how much. */
static uint32_t fill(struct send_chunk *c, const uint8_t *data, uint32_t len_bytes)
{
	const uint32_t room = c->cap_bytes - c->len_bytes;
	const uint32_t n = len_bytes < room ? len_bytes : room;

	memcpy((uint8_t *)(c + 1) + c->len_bytes, data, n);
	c->len_bytes += n;
	return n;
}

static int write_copied(struct send_stream *s, const struct send_env *env,
			const uint8_t *data, uint32_t len_bytes)
{
	const uint32_t cap = env->chunks->block_bytes - (uint32_t)sizeof(struct send_chunk);
	struct send_chunk *first = NULL, *last = NULL, *c;
	const bool gather = s->tail && s->tail->cap_bytes;
	const uint32_t room = gather ? s->tail->cap_bytes - s->tail->len_bytes : 0;
	uint64_t off = s->written;

	/* All blocks first, so that running out of memory changes nothing. */
	for (uint64_t got = room; got < len_bytes; got += cap) {
		c = pool_take(env->chunks);
		if (!c)
			goto give_back;
		*c = (struct send_chunk){.data = (const uint8_t *)(c + 1), .cap_bytes = cap};
		if (last)
			last->next = c;
		else
			first = c;
		last = c;
	}
	if (room > 0) {
		uint32_t n = fill(s->tail, data, len_bytes);

		data += n;
		len_bytes -= n;
		off += n;
		if (!s->cursor)
			s->cursor = s->tail;
	}
	for (c = first; c; c = c->next) {
		uint32_t n = fill(c, data, len_bytes);

		c->off = off;
		data += n;
		len_bytes -= n;
		off += n;
	}
	if (first)
		append(s, first, last);
	return 0;

give_back:
	while (first) {
		c = first;
		first = c->next;
		pool_give(env->chunks, c);
	}
	return -ENOMEM;
}

int send_stream_write(struct send_stream *s, const struct send_env *env, const uint8_t *data,
		      uint32_t len_bytes, bool fin, uint64_t token)
{
	int err = 0;

	if (s->fin || send_stream_is_reset(s))
		return -EPIPE;
	if (len_bytes > QX_VARINT_MAX - s->written)
		return -EFBIG;
	if (len_bytes == 0 && token)
		env->released(env->arg, token); /* nothing to hold */
	else if (token)
		err = write_held(s, env, data, len_bytes, token);
	else if (len_bytes > 0)
		err = write_copied(s, env, data, len_bytes);
	if (err < 0)
		return err;
	s->written += len_bytes;
	s->fin = fin;
	s->fin_pending = fin;
	send_stream_set_low(s, s->low_bytes);
	return 0;
}

/* ---- Sending ---- */

bool send_stream_peek(const struct send_stream *s, uint64_t conn_room_bytes,
		      struct send_piece *piece)
{
	uint64_t end = s->written;

	if (send_stream_is_reset(s))
		return false;
	if (s->resend.cnt > 0) {
		const struct range *r = spans_get(&s->resend, 0);

		piece->off = r->start;
		piece->len_bytes = r->end - r->start;
		piece->fin = s->fin_pending && r->end == s->written;
		piece->is_new = false;
		return true;
	}
	if (end > s->limit)
		end = s->limit;
	if (end > s->next && end - s->next > conn_room_bytes)
		end = s->next + conn_room_bytes;
	piece->off = s->next;
	piece->len_bytes = end > s->next ? end - s->next : 0;
	piece->fin = s->fin_pending && piece->off + piece->len_bytes == s->written;
	piece->is_new = true;
	return piece->len_bytes > 0 || piece->fin;
}

/* copy_out copies from chunk c on, which is not behind off; returns the chunk that holds the
 * byte behind the last, or NULL. */
static struct send_chunk *copy_out(struct send_chunk *c, uint64_t off, uint64_t len_bytes,
				   uint8_t *out)
{
	while (c && c->off + c->len_bytes <= off)
		c = c->next;
	while (len_bytes > 0) {
		/* Nobody asks for bytes that are not in a chunk. */
		assert(c);
		const uint64_t at = off - c->off, left = c->len_bytes - at;
		const uint64_t n = len_bytes < left ? len_bytes : left;

		memcpy(out, c->data + at, n);
		out += n;
		off += n;
		len_bytes -= n;
		if (n == left)
			c = c->next;
	}
	return c;
}

void send_stream_take(struct send_stream *s, const struct send_piece *piece, uint8_t *out)
{
	if (piece->is_new) {
		s->cursor = copy_out(s->cursor, piece->off, piece->len_bytes, out);
		s->next += piece->len_bytes;
	} else {
		/* Losses are resent in ascending order mostly: looking for each from the head
		 * would cost a walk over all that is under way. */
		struct send_chunk *from = s->resend_cursor;

		if (!from || from->off > piece->off)
			from = s->head;
		s->resend_cursor = copy_out(from, piece->off, piece->len_bytes, out);
		spans_remove(&s->resend, piece->off, piece->off + piece->len_bytes,
			     SEND_SPANS_MAX);
	}
	if (piece->fin) {
		s->fin_pending = false;
		step(s, SEND_EV_FIN_SENT);
	}
}

/* ---- Fates ---- */

/* advance moves acked_below, over what was acknowledged ahead of it, and releases. */
static void advance(struct send_stream *s, const struct send_env *env, uint64_t end)
{
	while (s->acked.cnt > 0 && spans_get(&s->acked, 0)->start <= end) {
		const uint64_t ahead = spans_get(&s->acked, 0)->end;

		if (ahead > end)
			end = ahead;
		spans_drop_below(&s->acked, ahead);
	}
	s->acked_below = end;
	if (s->resend.cnt > 0)
		spans_drop_below(&s->resend, end);
	drop_chunks_below(s, env, end);
}

void send_stream_acked(struct send_stream *s, const struct send_env *env, uint64_t off,
		       uint64_t len_bytes, bool fin)
{
	const uint64_t end = off + len_bytes;

	if (send_stream_is_reset(s))
		return;
	if (off <= s->acked_below) {
		if (end > s->acked_below)
			advance(s, env, end);
	} else if (spans_add(&s->acked, off, end, SEND_SPANS_MAX)) {
		/* It may have been taken for lost. */
		spans_remove(&s->resend, off, end, SEND_SPANS_MAX);
	} else {
		/* No room to remember it, and nobody will tell us again. */
		spans_cover(&s->resend, off, end, SEND_SPANS_MAX);
	}
	if (fin) {
		s->fin_acked = true;
		s->fin_pending = false;
	}
	if (s->fin_acked && s->acked_below == s->written)
		step(s, SEND_EV_ALL_ACKED);
}

void send_stream_lost(struct send_stream *s, uint64_t off, uint64_t len_bytes, bool fin)
{
	const uint64_t end = off + len_bytes;

	if (send_stream_is_reset(s))
		return;
	if (fin && !s->fin_acked)
		s->fin_pending = true;
	if (off < s->acked_below)
		off = s->acked_below;
	/* All but what another packet has brought there. */
	for (uint32_t i = spans_after(&s->acked, off); off < end; i++) {
		const bool more = i < s->acked.cnt && spans_get(&s->acked, i)->start < end;
		const uint64_t stop = more ? spans_get(&s->acked, i)->start : end;

		if (off < stop)
			spans_cover(&s->resend, off, stop, SEND_SPANS_MAX);
		if (!more)
			break;
		off = spans_get(&s->acked, i)->end;
	}
}

bool send_stream_reset(struct send_stream *s, const struct send_env *env, uint64_t code)
{
	if (send_next[s->state][SEND_EV_RESET] == s->state)
		return false;
	step(s, SEND_EV_RESET);
	s->reset_code = code;
	s->fin_pending = false;
	send_stream_free(s, env);
	return true;
}

void send_stream_reset_event(struct send_stream *s, enum send_event ev)
{
	step(s, ev);
}

void send_stream_begin_again(struct send_stream *s)
{
	if (send_stream_over(s))
		return;
	spans_free(&s->acked);
	spans_free(&s->resend);
	s->next = s->acked_below;
	s->limit = 0;
	s->blocked_at = UINT64_MAX;
	s->resend_cursor = NULL;
	s->cursor = s->head; /* what lies below acked_below has been released */
	step(s, SEND_EV_BEGIN_AGAIN);
	s->fin_pending = s->fin && s->state == SEND_OPEN;
}

bool send_stream_fell(struct send_stream *s)
{
	if (!s->above_low || send_stream_level(s) >= s->low_bytes)
		return false;
	s->above_low = false;
	return true;
}

void send_stream_set_low(struct send_stream *s, uint64_t low_bytes)
{
	s->low_bytes = low_bytes;
	if (low_bytes && send_stream_level(s) >= low_bytes)
		s->above_low = true;
}
