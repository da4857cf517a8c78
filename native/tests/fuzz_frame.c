/* fuzz_frame.c: any bytes as the frames of a packet; what frame_skip makes of aioquic's is
 * compared with a second reading of their layouts. */
#include "frame.h"

#include <stdlib.h>

#include "frame_layouts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond)                                                                        \
	do {                                                                                 \
		if (!(cond))                                                                 \
			abort();                                                             \
	} while (0)

/* The length of the frame's fields at p, or -1. */
static int64_t walk(const char *layout, const uint8_t *p, size_t size)
{
	size_t at = 0;

	for (; *layout; layout++) {
		uint64_t need = *layout == '8' ? 8 : *layout == 't' ? 16 : 1;
		size_t varint_len = 0;

		if (*layout == 'v' || *layout == 'b') {
			if (at == size)
				return -1;
			varint_len = (size_t)1 << (p[at] >> 6);
			if (size - at < varint_len)
				return -1;
			need = p[at] & 0x3f;
			for (size_t i = 1; i < varint_len; i++)
				need = need << 8 | p[at + i];
			at += varint_len;
			if (*layout == 'v')
				need = 0;
		} else if (*layout == 'c') {
			if (at == size)
				return -1;
			need = p[at++];
		}
		if (need > size - at)
			return -1;
		at += need;
	}
	return (int64_t)at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader r = {.at = data, .end = data + size};

	while (!r.failed && r.at < r.end) {
		const uint64_t type = read_varint(&r);
		const struct frame_rule rule = frame_rule(type);
		const char *layout = frame_layout(type);
		const uint8_t *fields = r.at;
		int64_t want;

		if (r.failed)
			break;
		REQUIRE((rule.owner == FRAME_AIOQUICS) == (layout != NULL));
		REQUIRE(rule.owner != FRAME_UNKNOWN ||
			(!rule.eliciting && !rule.probing && !rule.zero_rtt));
		if (rule.owner == FRAME_OURS)
			continue; /* the next byte is a type again */
		frame_skip(&r, type);
		REQUIRE(r.at >= fields && r.at <= r.end);
		want = layout ? walk(layout, fields, (size_t)(r.end - fields)) : -1;
		REQUIRE(r.failed == (want < 0));
		REQUIRE(r.failed || r.at == fields + want);
	}
	return 0;
}
