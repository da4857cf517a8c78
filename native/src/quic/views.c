/* views.c: what can be read of a connection, and what tests reach. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

static void copy_recovery(struct qx_conn_stats *out, const struct recovery *r)
{
	out->acked_packets = r->acked_packets;
	out->lost_packets = r->lost_packets;
	out->lost_bytes = r->lost_bytes;
	out->spurious_losses = r->spurious_losses;
	out->ptos = r->ptos;
	out->persistent_congestions = r->persistent_cnt;
	memcpy(out->ecn_tx_acked, r->ecn_acked, sizeof(out->ecn_tx_acked));
	out->rtt_latest_ns = r->rtt.latest_ns;
	out->rtt_smoothed_ns = r->rtt.smoothed_ns;
	out->rtt_variance_ns = r->rtt.variance_ns;
	out->rtt_min_ns = r->rtt.min_ns;
	out->cwnd_bytes = r->cc.cwnd_bytes;
	out->ssthresh_bytes = r->cc.ssthresh_bytes;
	out->in_flight_bytes = r->sent.in_flight_bytes;
	out->next_packet_number = r->sent.next;
}

void qx_conn_get_stats(struct qx_conn *c, struct qx_conn_stats *out)
{
	*out = c->stats;
	copy_recovery(out, &c->recovery);
	memcpy(out->ecn_rx, c->ack.ecn, sizeof(out->ecn_rx));
	out->unsent_bytes = c->streams.unsent_bytes;
	out->streams = c->streams.stream_cnt;
	out->memory_bytes = sizeof(*c) + streams_memory_bytes(&c->streams) +
			    sent_memory_bytes(&c->recovery.sent) + c->urgent.bytes +
			    c->control.bytes + c->datagrams.bytes;
	out->largest_received = c->ack.largest;
	out->last_open_ns = c->last_open_ns;
	out->first_eliciting_ns = c->first_eliciting_ns;
}

/* ---- Tests ---- */

int qx_test_inject_frame(struct qx_conn *c, const uint8_t *frame, uint32_t len_bytes,
			 uint64_t now_ns)
{
	struct frames_in f = {.epoch = QX_EPOCH_ONE_RTT, .now_ns = now_ns};
	uint8_t *copy = malloc(len_bytes + 1);
	uint64_t code;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, frame, len_bytes);
	code = conn_frames(c, copy, len_bytes, &f);
	free(copy);
	if (code)
		conn_fail(c, code, f.error_type, f.reason);
	engine_turn(c);
	engine_dirty(c);
	engine_end_turn(c->engine, now_ns);
	return code ? 0 : 1;
}

int qx_test_sent_packets(struct qx_conn *c, uint64_t *pns, uint32_t max)
{
	const struct sent *s = &c->recovery.sent;
	uint32_t n = 0;

	for (uint64_t pn = s->oldest; pn != s->next && n < max; pn++)
		/* aioquic forgets a packet once a probe repeats what it carried. */
		if ((sent_at(s, pn)->flags & (SENT_USED | SENT_RESENT)) == SENT_USED)
			pns[n++] = pn;
	return (int)n;
}

int qx_test_ack_ranges(struct qx_conn *c, uint64_t *pairs, uint32_t max_pairs)
{
	struct range ranges[RANGES_MAX];
	uint32_t n = ack_ranges(&c->ack, ranges, RANGES_MAX);

	if (n > max_pairs)
		n = max_pairs;
	for (uint32_t i = 0; i < n; i++) {
		pairs[2 * i] = ranges[i].start;
		pairs[2 * i + 1] = ranges[i].end;
	}
	return (int)n;
}
