/* sent.h: what is under way: a ring of sent packets by number, and what each carried.
 *
 * The ring spans [oldest, next): a record per packet number, found by masking.  It grows
 * by doubling when more is under way (amortised: nothing per packet in the steady state),
 * halves again once it has been far too large, and is bounded by SENT_MAX.  A record holds
 * two items inline, more hang on a chain of nodes that are kept and reused.
 *
 * A number may be taken before its packet is known: sent_reserve, for a packet that aioquic
 * seals with a number of ours and accounts for later (sent_adopt).  Such a hole is legal
 * anywhere in the ring.
 *
 * Nobody ever acknowledges the ACKs of a peer that only listens: packets that elicit no ACK
 * and are not in flight are forgotten, unreported, when the ring would have to grow for
 * them, and so are holes.  Eliciting packets never are. */
#ifndef QX_SENT_H
#define QX_SENT_H

#include <stdbool.h>
#include <stdint.h>

enum {
	SENT_MAX = 1 << 17,
	SENT_MIN = 32
};

/* What a packet carried that somebody wants to know the fate of. */
enum sent_item_type {
	ITEM_NONE = 0,
	ITEM_STREAM, /* id, off, len, fin */
	ITEM_RESET,  /* id */
	ITEM_STOP,   /* id */
	ITEM_MAX_DATA,
	ITEM_MAX_STREAM_DATA, /* id */
	ITEM_MAX_STREAMS,     /* id: 0 bidi, 1 uni */
	ITEM_BLOCKED, /* DATA_BLOCKED, STREAM_DATA_BLOCKED, STREAMS_BLOCKED: informs only */
	ITEM_ACK,     /* off: largest acknowledged */
	ITEM_CONTROL  /* off: token */
};

struct sent_item {
	uint64_t id;
	uint64_t off;
	uint32_t len_bytes;
	uint8_t type;
	uint8_t fin;
	uint16_t zero;
};

struct sent_chain {
	struct sent_chain *next;
	struct sent_item item;
};

enum sent_flags {
	SENT_USED = 1, /* the record is a packet under way */
	SENT_ELICITING = 2,
	SENT_IN_FLIGHT = 4, /* counts against the window */
	SENT_ZERO_RTT = 8,
	SENT_RESENT = 16, /* a probe repeats what it carried: items gone, still under way */
	SENT_ECT = 32,
	SENT_RESERVED = 64, /* a hole: the number is taken, the packet not known yet */
	SENT_ACKED = 128    /* within one ACK frame: acknowledged, fate not yet told */
};

struct sent_packet {
	uint64_t time_ns;
	uint32_t size_bytes;
	uint8_t flags;
	uint8_t item_cnt; /* inline ones */
	uint16_t zero;
	struct sent_chain *chain;
	struct sent_item items[2];
};

struct sent {
	struct sent_packet *ring;
	uint32_t size;   /* a power of two */
	uint32_t peak;   /* most records in the ring since it last was empty */
	uint64_t oldest; /* first number that may be used */
	uint64_t next;   /* next packet number */
	struct sent_chain *free_chain;
	uint32_t free_cnt;      /* at most size: the rest is freed */
	uint64_t node_cnt;      /* all there are, on chains and free */
	uint64_t eliciting_cnt; /* ack-eliciting packets under way */
	uint64_t in_flight_bytes;
};

int sent_init(struct sent *s);
void sent_free(struct sent *s);
uint64_t sent_memory_bytes(const struct sent *s);
static inline struct sent_packet *sent_at(const struct sent *s, uint64_t pn)
{
	return &s->ring[pn & (s->size - 1)];
}
/* sent_begin gives the record of number next, emptied; NULL when SENT_MAX are under way or
 * memory ran out (then nothing may be sent).  sent_end makes it count and advances next.
 * Items added in between by sent_add; -ENOMEM drops nothing: stop filling the packet.
 * The record stays where it is until the next sent_begin or sent_reserve. */
struct sent_packet *sent_begin(struct sent *s);
int sent_add(struct sent *s, struct sent_packet *p, const struct sent_item *item);
void sent_end(struct sent *s, struct sent_packet *p, uint64_t now_ns, uint32_t size_bytes,
	      uint8_t flags);
/* sent_cancel returns the items of a begun packet (or of a draft) that was not sent. */
void sent_cancel(struct sent *s, struct sent_packet *p);

/* sent_reserve takes the next number for a packet that is registered later or never.
 * Returns 0, or -ENOBUFS as sent_begin gives NULL. */
int sent_reserve(struct sent *s, uint64_t *pn);
/* sent_adopt registers the packet of a reserved number.  draft: a zeroed struct sent_packet
 * of the caller's, filled by sent_add, whose items move into the record; NULL: none.
 * Returns the record, or NULL (draft untouched) if the number is not a hole any more. */
struct sent_packet *sent_adopt(struct sent *s, uint64_t pn, struct sent_packet *draft,
			       uint64_t now_ns, uint32_t size_bytes, uint8_t flags);

/* sent_forget ends a packet's life (acked or lost and reported) or a hole's: counters,
 * chain, oldest. */
void sent_forget(struct sent *s, uint64_t pn);
/* sent_leave_flight: the packet no longer counts against the window. */
void sent_leave_flight(struct sent *s, struct sent_packet *p);
/* sent_drop_items returns the items of a packet that stays under way. */
void sent_drop_items(struct sent *s, struct sent_packet *p);

#endif
