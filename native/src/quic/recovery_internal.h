/* recovery_internal.h: what recovery.c, recovery_ack.c and recovery_loss.c share. */
#ifndef QX_RECOVERY_INTERNAL_H
#define QX_RECOVERY_INTERNAL_H

#include "recovery.h"

/* recovery_tell tells the fate of all that p carried. */
void recovery_tell(struct recovery *r, const struct sent_packet *p, bool acked);

/* recovery_resolve walks the numbers up to the largest acknowledged once, ascending: ends
 * those marked SENT_ACKED, declares others lost, answers with the window and leaves the
 * next loss time.
 * Cost: what it ends, and the few behind the largest that may still be reordered. */
void recovery_resolve(struct recovery *r, uint64_t now_ns);

/* recovery_pace adapts the pacer to a new window or RTT. */
void recovery_pace(struct recovery *r, uint64_t now_ns);

#endif
