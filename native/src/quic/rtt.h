/* rtt.h: the RTT estimate of a path (RFC 9002 section 5), integer nanoseconds. */
#ifndef QX_RTT_H
#define QX_RTT_H

#include <stdbool.h>
#include <stdint.h>

enum {
	RTT_GRANULARITY_NS = 1000000
}; /* kGranularity, RFC 9002 section 6.1.2 */

struct rtt {
	bool sampled;
	uint64_t initial_ns;
	uint64_t latest_ns;
	uint64_t smoothed_ns; /* before the first sample: what section 5.3 starts with */
	uint64_t variance_ns;
	uint64_t min_ns;
	uint64_t first_sample_ns; /* time of the first sample, for persistent congestion;
				      * ~0: none of ours yet */
};

void rtt_init(struct rtt *r, uint64_t initial_ns);
/* rtt_sample takes a sample; ack_delay_ns is what the peer reported, already limited to
 * its max_ack_delay once the handshake is confirmed. */
void rtt_sample(struct rtt *r, uint64_t latest_ns, uint64_t ack_delay_ns, uint64_t now_ns);
/* rtt_set takes over an estimate that was made elsewhere, from the handshake's packets. */
void rtt_set(struct rtt *r, uint64_t latest_ns, uint64_t smoothed_ns, uint64_t variance_ns,
	     uint64_t min_ns);
/* rtt_pto is the probe timeout without backoff (section 6.2.1). */
uint64_t rtt_pto(const struct rtt *r, uint64_t max_ack_delay_ns);
/* rtt_loss_delay is the time threshold (section 6.1.2): 9/8 of the larger estimate. */
uint64_t rtt_loss_delay(const struct rtt *r);

#endif
