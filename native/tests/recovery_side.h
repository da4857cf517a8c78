/* recovery_side.h: one sender's recovery, and the ACK frames that it gets. */
#ifndef QX_RECOVERY_SIDE_H
#define QX_RECOVERY_SIDE_H

#include "recovery.h"
#include "t.h"

static const uint64_t ms = 1000000, s = 1000000000;

enum {
	DATAGRAM = 1200,
	FLAGS = SENT_ELICITING | SENT_IN_FLIGHT,
	FATE_MAX = 1 << 16,
	FRAME_ENCODING_ERROR = 0x07,
	PROTOCOL_VIOLATION = 0x0a,
};

static struct recovery r;
static uint8_t acked_cnt[FATE_MAX], lost_cnt[FATE_MAX]; /* by packet number */
static uint64_t told[FATE_MAX];                         /* the order of reports */
static uint32_t told_cnt;

static inline void fate(void *arg, const struct sent_item *item, bool acked)
{
	T_CHECK(arg == &r);
	if (item->off >= FATE_MAX)
		return;
	(acked ? acked_cnt : lost_cnt)[item->off]++;
	told[told_cnt++ % FATE_MAX] = item->off;
}

static inline void begin_with(const struct cc_ops *cc)
{
	memset(acked_cnt, 0, sizeof(acked_cnt));
	memset(lost_cnt, 0, sizeof(lost_cnt));
	told_cnt = 0;
	T_EQ(recovery_init(&r, cc, DATAGRAM, 100 * ms, fate, &r), 0);
	r.max_ack_delay_ns = 25 * ms;
}

static inline void begin_test(void)
{
	begin_with(&cc_reno);
	r.confirmed = true;
}

static inline void end_test(void)
{
	recovery_free(&r);
}

static inline uint64_t send_as(uint64_t now_ns, uint32_t size_bytes, uint8_t flags)
{
	const struct sent_item item = {.type = ITEM_STREAM, .off = r.sent.next};
	struct sent_packet *p = sent_begin(&r.sent);

	T_CHECK(p);
	T_EQ(sent_add(&r.sent, p, &item), 0);
	sent_end(&r.sent, p, now_ns, size_bytes, flags);
	recovery_on_sent(&r, p, now_ns);
	return r.sent.next - 1;
}

static inline uint64_t send_at(uint64_t now_ns)
{
	return send_as(now_ns, DATAGRAM, FLAGS);
}

static inline void send_many(uint64_t cnt, uint64_t now_ns)
{
	while (cnt-- > 0)
		send_at(now_ns);
}

/* ---- Frames ---- */

static uint8_t bytes[1 << 16];
static uint8_t *end;

static inline void frame(uint64_t largest, uint64_t delay, uint64_t range_cnt, uint64_t first)
{
	end = write_varint(bytes, largest);
	end = write_varint(end, delay);
	end = write_varint(end, range_cnt);
	end = write_varint(end, first);
}

static inline void more(uint64_t v)
{
	end = write_varint(end, v);
}

static inline uint64_t take(bool ecn, uint64_t now_ns)
{
	struct reader reader = {bytes, end, false};
	const uint64_t error = recovery_on_ack_frame(&r, &reader, ecn, now_ns);

	if (!error)
		T_CHECK(reader.at == end);
	return error;
}

/* Acknowledges [lo, hi]. */
static inline void ack(uint64_t lo, uint64_t hi, uint64_t now_ns)
{
	frame(hi, 0, 0, hi - lo);
	T_EQ(take(false, now_ns), 0);
}

static inline void ack_ecn(uint64_t lo, uint64_t hi, uint64_t ect0, uint64_t ect1,
			   uint64_t ce, uint64_t now_ns)
{
	frame(hi, 0, 0, hi - lo);
	more(ect0);
	more(ect1);
	more(ce);
	T_EQ(take(true, now_ns), 0);
}

#define RECOVERY_MAIN(cases)                                                                 \
	int main(int argc, char **argv)                                                      \
	{                                                                                    \
		t_after_each = end_test;                                                     \
		return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);          \
	}

#endif
