/* sent.c: the ring of sent packets. */
#include "sent.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	INLINE_ITEMS = 2,
	SHRINK_RATIO = 8, /* halve a ring of which not even this part was used */
};

int sent_init(struct sent *s)
{
	*s = (struct sent){.size = SENT_MIN};
	s->ring = calloc(s->size, sizeof(*s->ring));
	return s->ring ? 0 : -ENOMEM;
}

static void free_chain(struct sent_chain *c)
{
	while (c) {
		struct sent_chain *next = c->next;

		free(c);
		c = next;
	}
}

void sent_free(struct sent *s)
{
	for (uint32_t i = 0; s->ring && i < s->size; i++)
		free_chain(s->ring[i].chain);
	free_chain(s->free_chain);
	free(s->ring);
	*s = (struct sent){0};
}

uint64_t sent_memory_bytes(const struct sent *s)
{
	return s->size * sizeof(*s->ring) + s->node_cnt * sizeof(*s->free_chain);
}

/* ---- The ring's size ---- */

static int resize(struct sent *s, uint32_t size)
{
	struct sent_packet *ring = calloc(size, sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	for (uint64_t pn = s->oldest; pn != s->next; pn++)
		ring[pn & (size - 1)] = *sent_at(s, pn);
	free(s->ring);
	s->ring = ring;
	s->size = size;
	return 0;
}

/* Forgets what nobody needs in the older half.  Returns whether that made room. */
static bool trim(struct sent *s)
{
	const uint64_t oldest = s->oldest, end = oldest + s->size / 2;

	while (s->oldest < end &&
	       !(sent_at(s, s->oldest)->flags & (SENT_ELICITING | SENT_IN_FLIGHT)))
		sent_forget(s, s->oldest);
	return s->oldest != oldest;
}

/* The ring is empty: was it too large all the time since it last was? */
static void maybe_shrink(struct sent *s)
{
	if (s->size > SENT_MIN && s->peak <= s->size / SHRINK_RATIO)
		resize(s, s->size / 2); /* without memory it stays as it is */
	s->peak = 0;
}

/* Room for one more record. */
static bool make_room(struct sent *s)
{
	const uint32_t used = (uint32_t)(s->next - s->oldest);

	if (used == 0)
		maybe_shrink(s);
	if (used > s->peak)
		s->peak = used;
	if (used < s->size || trim(s))
		return true;
	return s->size < SENT_MAX && resize(s, s->size * 2) == 0;
}

/* ---- Items ---- */

static struct sent_chain *take_node(struct sent *s)
{
	struct sent_chain *c = s->free_chain;

	if (c) {
		s->free_chain = c->next;
		s->free_cnt--;
		return c;
	}
	c = malloc(sizeof(*c));
	s->node_cnt += c != NULL;
	return c;
}

static void give_nodes(struct sent *s, struct sent_chain *c)
{
	while (c) {
		struct sent_chain *next = c->next;

		if (s->free_cnt < s->size) {
			c->next = s->free_chain;
			s->free_chain = c;
			s->free_cnt++;
		} else {
			free(c);
			s->node_cnt--;
		}
		c = next;
	}
}

int sent_add(struct sent *s, struct sent_packet *p, const struct sent_item *item)
{
	struct sent_chain *c;

	if (p->item_cnt < INLINE_ITEMS) {
		p->items[p->item_cnt++] = *item;
		return 0;
	}
	c = take_node(s);
	if (!c)
		return -ENOMEM;
	c->item = *item;
	c->next = p->chain;
	p->chain = c;
	return 0;
}

void sent_drop_items(struct sent *s, struct sent_packet *p)
{
	if (p->chain)
		give_nodes(s, p->chain);
	p->chain = NULL;
	p->item_cnt = 0;
}

/* ---- A packet's life ---- */

struct sent_packet *sent_begin(struct sent *s)
{
	struct sent_packet *p;

	if (!make_room(s))
		return NULL;
	p = sent_at(s, s->next);
	assert(p->flags == 0 && !p->chain);
	p->item_cnt = 0;
	return p;
}

static void under_way(struct sent *s, struct sent_packet *p, uint64_t now_ns,
		      uint32_t size_bytes, uint8_t flags)
{
	p->time_ns = now_ns;
	p->size_bytes = size_bytes;
	p->flags = flags | SENT_USED;
	if (flags & SENT_ELICITING)
		s->eliciting_cnt++;
	if (flags & SENT_IN_FLIGHT)
		s->in_flight_bytes += size_bytes;
}

void sent_end(struct sent *s, struct sent_packet *p, uint64_t now_ns, uint32_t size_bytes,
	      uint8_t flags)
{
	assert(p == sent_at(s, s->next));
	under_way(s, p, now_ns, size_bytes, flags);
	s->next++;
}

void sent_cancel(struct sent *s, struct sent_packet *p)
{
	assert(!(p->flags & SENT_USED));
	sent_drop_items(s, p);
}

int sent_reserve(struct sent *s, uint64_t *pn)
{
	struct sent_packet *p = sent_begin(s);

	if (!p)
		return -ENOBUFS;
	p->flags = SENT_RESERVED;
	*pn = s->next++;
	return 0;
}

struct sent_packet *sent_adopt(struct sent *s, uint64_t pn, struct sent_packet *draft,
			       uint64_t now_ns, uint32_t size_bytes, uint8_t flags)
{
	struct sent_packet *p;

	if (pn < s->oldest || pn >= s->next || !(sent_at(s, pn)->flags & SENT_RESERVED))
		return NULL;
	p = sent_at(s, pn);
	if (draft) {
		*p = *draft;
		*draft = (struct sent_packet){0};
	}
	under_way(s, p, now_ns, size_bytes, flags);
	return p;
}

void sent_leave_flight(struct sent *s, struct sent_packet *p)
{
	if (p->flags & SENT_IN_FLIGHT)
		s->in_flight_bytes -= p->size_bytes;
	p->flags &= (uint8_t)~SENT_IN_FLIGHT;
}

void sent_forget(struct sent *s, uint64_t pn)
{
	struct sent_packet *p = sent_at(s, pn);

	if (p->flags & SENT_ELICITING)
		s->eliciting_cnt--;
	sent_leave_flight(s, p);
	sent_drop_items(s, p);
	p->flags = 0;
	while (s->oldest != s->next && sent_at(s, s->oldest)->flags == 0)
		s->oldest++;
}
