/* pacer.h: spreads a window over a round trip (RFC 9002 section 7.7): a token bucket that
 * fills at 5/4 of cwnd per smoothed RTT.
 *
 * It holds a burst (the initial window) or what the rate gives in a millisecond, whichever
 * is more: no timer wakes a process more finely, and a path that carries a window in less
 * is not paced at all. */
#ifndef QX_PACER_H
#define QX_PACER_H

#include <stdint.h>

enum {
	PACER_BURST_DATAGRAMS = 10
};

struct pacer {
	uint64_t tokens_bytes;
	uint64_t tokens_nano; /* billionths of a byte, so that no call loses any */
	uint64_t updated_ns;
	uint64_t rate_bytes_per_s; /* 0: not pacing yet */
	uint64_t burst_bytes;
	uint64_t cap_bytes;
};

void pacer_init(struct pacer *p, uint64_t burst_bytes);
void pacer_set_rate(struct pacer *p, uint64_t cwnd_bytes, uint64_t smoothed_rtt_ns,
		    uint64_t now_ns);
/* pacer_room is how many bytes may go now; ~0 while not pacing. */
uint64_t pacer_room(struct pacer *p, uint64_t now_ns);
void pacer_sent(struct pacer *p, uint64_t bytes);
/* pacer_next_ns is when bytes will have room; now_ns if already.  More than the bucket
 * holds counts as what it holds. */
uint64_t pacer_next_ns(const struct pacer *p, uint64_t bytes, uint64_t now_ns);
/* pacer_wake_ns is when it pays to send again: there is room for what the rate gives in half
 * a millisecond, or for bytes if that is more.  A timer for each datagram would cost more
 * than the datagram. */
uint64_t pacer_wake_ns(const struct pacer *p, uint64_t bytes, uint64_t now_ns);

#endif
