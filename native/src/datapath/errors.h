/* errors.h: errors that wait for qx_next_error, in a bounded ring.
 *
 * A peer decides how many errors there are (one ICMP message is one), so the ring keeps
 * the newest and counts the others. */
#ifndef QX_ERRORS_H
#define QX_ERRORS_H

#include <stdint.h>

#include "quicxdp.h"

enum {
	QX_ERRORS_MAX = 64
};

struct qx_errors {
	uint64_t lost; /* overwritten before they were read */
	uint32_t first;
	uint32_t cnt;
	struct qx_error ring[QX_ERRORS_MAX];
};

/* errors_next is the place of one more, zeroed. */
static inline struct qx_error *errors_next(struct qx_errors *e)
{
	struct qx_error *err = &e->ring[(e->first + e->cnt) % QX_ERRORS_MAX];

	if (e->cnt == QX_ERRORS_MAX) {
		e->first = (e->first + 1) % QX_ERRORS_MAX;
		e->lost++;
	} else {
		e->cnt++;
	}
	*err = (struct qx_error){0};
	return err;
}

/* errors_push adds one; code is a positive errno, peer may be NULL. */
static inline void errors_push(struct qx_errors *e, int code, const struct qx_addr *peer)
{
	struct qx_error *err = errors_next(e);

	err->code = code;
	if (peer)
		err->peer = *peer;
}

/* errors_push_icmp adds what an ICMP message said. */
static inline void errors_push_icmp(struct qx_errors *e, int code, const struct qx_addr *peer,
				    uint32_t mtu_bytes)
{
	struct qx_error *err = errors_next(e);

	*err = (struct qx_error){.code = code, .icmp = 1, .peer = *peer};
	err->mtu_bytes = mtu_bytes <= UINT16_MAX ? (uint16_t)mtu_bytes : UINT16_MAX;
}

/* errors_pop takes the oldest.  Returns 1, or 0 when there is none. */
static inline int errors_pop(struct qx_errors *e, struct qx_error *out)
{
	if (e->cnt == 0)
		return 0;
	*out = e->ring[e->first];
	e->first = (e->first + 1) % QX_ERRORS_MAX;
	e->cnt--;
	return 1;
}

#endif
