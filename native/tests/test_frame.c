/* test_frame.c: every frame type has the rules of the RFCs, and aioquic's frames end where
 * they end. */
#include "frame.h"

#include "frame_layouts.h"
#include "t.h"

enum {
	ROOM = 4096
};

/* RFC 9000 table 3 and RFC 9221 section 4, in their letters: who handles the frame (o ours,
 * a aioquic), N not ack-eliciting, P probing, 0 allowed in 0-RTT packets. */
static const struct {
	uint64_t first, last;
	const char *rule;
} table[] = {
	{0x00, 0x00, "oNP0"}, {0x01, 0x01, "o0"},  {0x02, 0x03, "oN"}, {0x04, 0x04, "o0"},
	{0x05, 0x05, "o0"},   {0x06, 0x06, "a"},   {0x07, 0x07, "a"},  {0x08, 0x0f, "o0"},
	{0x10, 0x17, "o0"},   {0x18, 0x18, "aP0"}, {0x19, 0x19, "a0"}, {0x1a, 0x1a, "aP0"},
	{0x1b, 0x1b, "aP"},   {0x1c, 0x1d, "aN0"}, {0x1e, 0x1e, "a"},  {0x30, 0x31, "o0"},
};

static const char *rule_of(uint64_t type)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (type >= table[i].first && type <= table[i].last)
			return table[i].rule;
	return NULL;
}

static void every_type_has_the_rules_of_the_rfcs(void)
{
	for (uint64_t type = 0; type < 300; type++) {
		const char *want = rule_of(type);
		struct frame_rule rule = frame_rule(type);

		if (!want) {
			T_EQ(rule.owner, FRAME_UNKNOWN);
			continue;
		}
		T_EQ(rule.owner, *want == 'o' ? FRAME_OURS : FRAME_AIOQUICS);
		T_EQ(rule.eliciting, !strchr(want, 'N'));
		T_EQ(rule.probing, strchr(want, 'P') != NULL);
		T_EQ(rule.zero_rtt, strchr(want, '0') != NULL);
	}
	T_EQ(frame_rule(UINT32_MAX).owner, FRAME_UNKNOWN);
	T_EQ(frame_rule(QX_VARINT_MAX).owner, FRAME_UNKNOWN);
	T_EQ(frame_rule(UINT64_MAX).owner, FRAME_UNKNOWN);
}

/* Writes a frame's fields; `value` goes into the varints, `len` bytes into the rest. */
static uint32_t write_fields(uint8_t *out, const char *layout, uint64_t value, uint32_t len)
{
	uint8_t *p = out;

	for (; *layout; layout++) {
		switch (*layout) {
		case 'v':
			p = write_varint(p, value);
			break;
		case 'b':
			p = write_varint(p, len);
			memset(p, 0xff, len);
			p += len;
			break;
		case 'c':
			*p++ = (uint8_t)len;
			memset(p, 0xff, (uint8_t)len);
			p += (uint8_t)len;
			break;
		default:
			memset(p, 0xff, 16);
			p += *layout == '8' ? 8 : 16;
		}
	}
	return (uint32_t)(p - out);
}

/* Behind each frame stands another one: skipping must stop exactly there, and a frame that
 * is cut off anywhere must be noticed without a byte read beyond it. */
static void skip_whole_and_cut(uint64_t type, uint64_t value, uint32_t len)
{
	uint8_t *exact;
	uint8_t buf[ROOM];
	uint32_t frame_len = write_fields(buf, frame_layout(type), value, len);
	struct reader r = {.at = buf, .end = buf + sizeof(buf)};

	frame_skip(&r, type);
	T_CHECK(!r.failed);
	T_EQ(r.at - buf, frame_len);
	for (uint32_t cut = 0; cut < frame_len; cut++) {
		exact = malloc(cut ? cut : 1);
		memcpy(exact, buf, cut);
		r = (struct reader){.at = exact, .end = exact + cut};
		frame_skip(&r, type);
		free(exact);
		T_CHECK(r.failed);
	}
}

static void each_frame_of_aioquics_is_skipped_whole(void)
{
	static const uint64_t values[] = {0, 63, 64, 16383, 16384, 1u << 30, QX_VARINT_MAX};
	static const uint32_t lens[] = {0, 1, 20, 63, 64, 255, 1000};
	uint32_t cnt = 0;

	for (uint64_t type = 0; type < 64; type++) {
		if (!frame_layout(type))
			continue;
		cnt++;
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++)
			for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++)
				skip_whole_and_cut(type, values[v], lens[l]);
	}
	T_EQ(cnt, 9);
}

/* A length near 2^62 must not wrap any pointer. */
static void a_length_beyond_all_memory_is_truncation(void)
{
	static const uint8_t huge[] = {0,    0xff, 0xff, 0xff, 0xff, 0xff,
				       0xff, 0xff, 0xff, 0,    0};
	struct reader r = {.at = huge, .end = huge + sizeof(huge)};

	frame_skip(&r, FRAME_CRYPTO);
	T_CHECK(r.failed);
	r = (struct reader){.at = huge + 1, .end = huge + sizeof(huge)};
	frame_skip(&r, FRAME_NEW_TOKEN);
	T_CHECK(r.failed);
}

static void frames_that_are_not_aioquics_are_not_skipped(void)
{
	static const uint8_t zeros[64];

	for (uint64_t type = 0; type < 300; type++) {
		struct reader r = {.at = zeros, .end = zeros + sizeof(zeros)};

		frame_skip(&r, type);
		T_EQ(r.failed, frame_layout(type) == NULL);
		T_EQ(frame_rule(type).owner == FRAME_AIOQUICS, frame_layout(type) != NULL);
	}
}

static const struct t_case cases[] = {
	{"every type has the rules of the RFCs", every_type_has_the_rules_of_the_rfcs},
	{"each frame of aioquic's is skipped whole", each_frame_of_aioquics_is_skipped_whole},
	{"a length beyond all memory is truncation",
	 a_length_beyond_all_memory_is_truncation},
	{"frames that are not aioquic's are not skipped",
	 frames_that_are_not_aioquics_are_not_skipped},
};

T_MAIN(cases)
