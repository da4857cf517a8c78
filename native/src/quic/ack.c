/* ack.c: received packet numbers and the ACK frames about them (RFC 9000 section 13.2). */
#include "ack.h"

#include <assert.h>
#include <string.h>

#include "frame.h"
#include "varint.h"

static const uint64_t none = UINT64_MAX;

void ack_init(struct ack *a, uint64_t delay_ns)
{
	memset(a, 0, sizeof(*a));
	a->largest = none;
	a->lowest_unsent = none;
	a->deadline_ns = QX_NEVER_NS;
	a->every_cnt = ACK_EVERY_CNT;
	a->delay_ns = delay_ns;
}

bool ack_is_duplicate(const struct ack *a, uint64_t pn)
{
	return pn < a->floor || ranges_contain(&a->received, pn);
}

static void remember(struct ack *a, uint64_t pn)
{
	const struct range lowest = a->received.cnt ? a->received.ranges[a->received.cnt - 1]
						    : (struct range){0, 0};

	/* The range that had to go is known only by the floor from now on. */
	if (!ranges_add(&a->received, pn, pn + 1))
		a->floor = pn < lowest.start ? pn + 1 : lowest.end;
}

/* Is a number missing between the largest ack-eliciting packet and pn above it? */
static bool gap_before(const struct ack *a, uint64_t pn)
{
	for (uint32_t i = 0; i < a->received.cnt; i++)
		if (a->received.ranges[i].start <= pn)
			return a->received.ranges[i].start > a->next_eliciting;
	return false;
}

/* RFC 9000 section 13.2.1: out of order is a number below an ack-eliciting one that came
 * earlier, or above it with a gap between.  The first one has nothing to be out of order
 * with. */
static bool out_of_order(const struct ack *a, uint64_t pn)
{
	if (a->next_eliciting == 0)
		return false;
	return pn < a->next_eliciting || gap_before(a, pn);
}

static void schedule(struct ack *a, uint64_t pn, uint8_t ecn, uint64_t now_ns)
{
	const bool at_once = ecn == QX_ECN_CE || out_of_order(a, pn);
	const uint64_t deadline_ns = now_ns + a->delay_ns;

	a->eliciting_cnt++;
	if (pn >= a->next_eliciting)
		a->next_eliciting = pn + 1;
	if (at_once || a->eliciting_cnt >= a->every_cnt)
		a->deadline_ns = now_ns < a->deadline_ns ? now_ns : a->deadline_ns;
	else if (deadline_ns < a->deadline_ns)
		a->deadline_ns = deadline_ns;
}

void ack_received(struct ack *a, uint64_t pn, bool eliciting, uint8_t ecn, uint64_t now_ns)
{
	remember(a, pn);
	a->ecn[ecn & 3]++;
	if (pn < a->report_from)
		a->report_from = pn;
	if (pn < a->lowest_unsent)
		a->lowest_unsent = pn;
	if (a->largest == none || pn > a->largest) {
		a->largest = pn;
		a->largest_time_ns = now_ns;
	}
	/* A packet that elicits none brings no ACK forward, or two idle endpoints would
	 * acknowledge each other's ACKs for ever. */
	if (eliciting)
		schedule(a, pn, ecn, now_ns);
}

uint32_t ack_ranges(const struct ack *a, struct range *out, uint32_t max)
{
	uint32_t cnt = 0;

	for (uint32_t i = 0; i < a->received.cnt && cnt < max; i++) {
		struct range r = a->received.ranges[i];

		if (r.end <= a->report_from)
			break;
		if (r.start < a->report_from)
			r.start = a->report_from;
		out[cnt++] = r;
	}
	return cnt;
}

/* The frame's head: type, largest, delay, how many ranges follow the first, and the first. */
static uint32_t head_bytes(const struct range *top, uint64_t delay)
{
	return 1 + varint_bytes(top->end - 1) + varint_bytes(delay) + 1 +
	       varint_bytes(top->end - top->start - 1);
}

static uint64_t gap_below(const struct range *upper, const struct range *lower)
{
	return upper->start - lower->end - 1; /* RFC 9000 section 19.3.1 counts from 0 */
}

/* The order of the fields in ACK_ECN (section 19.3.2). */
static const uint8_t ecn_order[] = {QX_ECN_ECT0, QX_ECN_ECT1, QX_ECN_CE};

static uint32_t ecn_bytes(const struct ack *a)
{
	uint32_t len = 0;

	if (!(a->ecn[QX_ECN_ECT0] | a->ecn[QX_ECN_ECT1] | a->ecn[QX_ECN_CE]))
		return 0;
	for (uint32_t i = 0; i < sizeof(ecn_order); i++)
		len += varint_bytes(a->ecn[ecn_order[i]]);
	return len;
}

/* How many of cnt ranges fit into room bytes, from the top; 0 if not even one. */
static uint32_t fitting(const struct range *ranges, uint32_t cnt, uint64_t delay,
			uint32_t tail_bytes, uint32_t room_bytes)
{
	uint32_t len = head_bytes(ranges, delay) + tail_bytes;
	uint32_t fit = 0;

	while (len <= room_bytes && ++fit < cnt)
		len += varint_bytes(gap_below(&ranges[fit - 1], &ranges[fit])) +
		       varint_bytes(ranges[fit].end - ranges[fit].start - 1);
	return fit;
}

uint32_t ack_write(struct ack *a, uint8_t *out, uint32_t room_bytes, uint32_t delay_exponent,
		   uint64_t now_ns)
{
	/* So that the count is a one-byte varint. */
	_Static_assert(RANGES_MAX <= 64, "head_bytes counts one byte");
	const uint64_t waited_ns =
		now_ns > a->largest_time_ns ? now_ns - a->largest_time_ns : 0;
	const uint64_t delay = waited_ns / 1000 >> delay_exponent;
	struct range ranges[RANGES_MAX];
	uint32_t cnt, tail_bytes;
	uint8_t *p = out;

	if (a->deadline_ns == QX_NEVER_NS)
		return 0;
	/* A deadline means a number that no ACK has named, and report_from is not above it:
	 * the range of the largest number, at least, is there. */
	cnt = ack_ranges(a, ranges, RANGES_MAX);
	assert(cnt > 0);
	tail_bytes = ecn_bytes(a);
	cnt = fitting(ranges, cnt, delay, tail_bytes, room_bytes);
	if (cnt == 0)
		return 0;

	*p++ = tail_bytes ? FRAME_ACK_ECN : FRAME_ACK;
	p = write_varint(p, ranges[0].end - 1);
	p = write_varint(p, delay);
	p = write_varint(p, cnt - 1);
	p = write_varint(p, ranges[0].end - ranges[0].start - 1);
	for (uint32_t i = 1; i < cnt; i++) {
		p = write_varint(p, gap_below(&ranges[i - 1], &ranges[i]));
		p = write_varint(p, ranges[i].end - ranges[i].start - 1);
	}
	for (uint32_t i = 0; tail_bytes && i < sizeof(ecn_order); i++)
		p = write_varint(p, a->ecn[ecn_order[i]]);

	a->deadline_ns = QX_NEVER_NS;
	a->eliciting_cnt = 0;
	a->lowest_unsent = none;
	return (uint32_t)(p - out);
}

void ack_confirmed(struct ack *a, uint64_t largest)
{
	/* A late packet that no ACK has named yet lies below largest too. */
	const uint64_t known = largest < a->lowest_unsent ? largest + 1 : a->lowest_unsent;

	if (known > a->report_from)
		a->report_from = known;
}
