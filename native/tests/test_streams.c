/* test_streams.c: streams open, close and are forgotten as RFC 9000 says, at a cost that no
 * peer decides. */
#include <errno.h>

#include "streams_side.h"

static struct side me;

static void begin(bool is_client)
{
	side_open(&me, side_config, is_client);
	streams_set_peer_limits(&me.s, &side_limits);
}

/* Tells all news and ends the turn; returns how many there were. */
static uint32_t turn(void)
{
	struct stream_news news;
	uint32_t cnt = 0;

	while (streams_news(&me.s, &news, 0, 0))
		cnt++;
	streams_reap(&me.s);
	streams_settle(&me.s);
	return cnt;
}

/* All packets go out and are acknowledged. */
static void exchange(void)
{
	uint8_t out[PACKET_BYTES];

	while (side_write(&me, out, sizeof(out), true))
		side_fate(&me, me.sent.next - 1, true);
}

/* The frames of all that is to be sent, acknowledged; the first of a type, or false. */
static bool sends(uint64_t type, struct got_frame *found)
{
	static uint8_t out[PACKET_BYTES];
	uint32_t len;
	bool is_found = false;

	while ((len = side_write(&me, out, sizeof(out), true))) {
		struct reader r = {out, out + len, false};
		struct got_frame f;

		while (next_frame(&r, &f))
			if (f.type == type && !is_found) {
				*found = f;
				is_found = true;
			}
		side_fate(&me, me.sent.next - 1, true);
	}
	return is_found;
}

/* RFC 9000 section 2.1: the two low bits say who opens a stream, and which ways it goes. */
static void next_ids_go_up_by_four(void)
{
	for (int is_client = 0; is_client < 2; is_client++) {
		begin(is_client);
		T_EQ(streams_next_id(&me.s, KIND_BIDI), is_client ? 0 : 1);
		T_EQ(streams_next_id(&me.s, KIND_UNI), is_client ? 2 : 3);
		T_EQ(streams_write(&me.s, is_client ? 0 : 1, NULL, 0, false, 0), 0);
		T_EQ(streams_write(&me.s, is_client ? 10 : 11, NULL, 0, false, 0), 0);
		T_EQ(streams_next_id(&me.s, KIND_BIDI), is_client ? 4 : 5);
		T_EQ(streams_next_id(&me.s, KIND_UNI), is_client ? 14 : 15);
		side_close(&me);
	}
}

/* RFC 9000 sections 19.4, 19.5, 19.8, 19.10, 19.13: "STREAM_STATE_ERROR". */
static void frames_for_the_wrong_half_are_state_errors(void)
{
	static const uint64_t receiving[] = {FRAME_STREAM, FRAME_RESET_STREAM,
					     FRAME_STREAM_DATA_BLOCKED};
	static const uint64_t sending[] = {FRAME_STOP_SENDING, FRAME_MAX_STREAM_DATA};

	begin(false); /* the peer opens 0, 4.. and 2, 6..; we 1, 5.. and 3, 7.. */
	streams_write(&me.s, 1, NULL, 0, false, 0);
	streams_write(&me.s, 3, NULL, 0, false, 0);
	for (int i = 0; i < 3; i++) {
		T_EQ(got(&me, receiving[i], 3, 0, 0), STREAM_ERR_STATE);
		T_EQ(got(&me, receiving[i], 7, 0, 0), STREAM_ERR_STATE);
		T_EQ(got(&me, receiving[i], 5, 0, 0), STREAM_ERR_STATE); /* not opened */
		T_EQ(got(&me, receiving[i], 1, 0, 0), 0);
	}
	for (int i = 0; i < 2; i++) {
		T_EQ(got(&me, sending[i], 2, 0, 0), STREAM_ERR_STATE);
		T_EQ(got(&me, sending[i], 7, 0, 0), STREAM_ERR_STATE); /* not opened */
		T_EQ(got(&me, sending[i], 3, 0, 0), 0);
		T_EQ(got(&me, sending[i], 0, 0, 0), 0);
	}
	side_close(&me);
}

/* RFC 9000 section 4.6: "MUST treat ... as a connection error of type STREAM_LIMIT_ERROR". */
static void the_peers_streams_end_at_what_it_was_told(void)
{
	begin(false);
	T_EQ(got_data(&me, 128 * 4, 0, 1, false), STREAM_ERR_LIMIT);
	T_EQ(got_data(&me, 128 * 4 + 2, 0, 1, false), STREAM_ERR_LIMIT);
	T_EQ(got_data(&me, (UINT64_C(1) << 62) - 4, 0, 1, false), STREAM_ERR_LIMIT);
	T_EQ(got_data(&me, 127 * 4, 0, 1, false), 0);
	T_EQ(got_data(&me, 127 * 4 + 2, 0, 1, false), 0);
	side_close(&me);
}

/* RFC 9000 section 3.2: opening a stream opens all below; a frame should not pay for it. */
static void a_million_streams_opened_by_one_frame_cost_one(void)
{
	struct qx_conn_config cfg = side_config;

	cfg.max_streams_bidi = 1000001;
	side_open(&me, cfg, false);
	T_EQ(got_data(&me, 4000000, 0, 1, false), 0);
	T_EQ(me.s.stream_cnt, 1);
	T_EQ(me.memory.streams.lent_cnt, 1);
	T_EQ(me.s.limits[KIND_BIDI].peer_opened, 1000001);
	T_EQ(turn(), 1);
	/* Those below can be used still, by either side. */
	T_EQ(got_data(&me, 400, 0, 1, false), 0);
	T_EQ(streams_write(&me.s, 800, (const uint8_t *)"x", 1, true, 0), 0);
	T_EQ(me.s.stream_cnt, 3);
	T_EQ(streams_write(&me.s, 4000004, NULL, 0, true, 0), -EINVAL);
	side_close(&me);
}

static void an_application_opens_only_its_own(void)
{
	begin(false);
	T_EQ(streams_write(&me.s, 0, NULL, 0, false, 0),
	     -EINVAL); /* not opened by the peer */
	T_EQ(streams_write(&me.s, 2, NULL, 0, false, 0), -EINVAL); /* one way, towards us */
	T_EQ(streams_write(&me.s, UINT64_C(1) << 62, NULL, 0, false, 0), -EINVAL);
	T_EQ(streams_stop(&me.s, 3, 0), -EINVAL);
	T_EQ(streams_stop(&me.s, 0, 0), -EINVAL);
	T_EQ(streams_stop(&me.s, 1, 0), -EINVAL);
	T_EQ(streams_reset(&me.s, 0, 0), -EINVAL);
	T_EQ(streams_reset(&me.s, 1, UINT64_C(1) << 62), -EINVAL);
	T_EQ(streams_consume(&me.s, 0, 1, 0, 0), -EINVAL);
	T_EQ(me.s.stream_cnt, 0);
	T_EQ(got_data(&me, 4, 0, 1, false), 0);
	T_EQ(streams_write(&me.s, 0, NULL, 0, false, 0), 0);
	T_EQ(streams_stop(&me.s, 4, 0), 0);
	side_close(&me);
}

static void finish(uint64_t id)
{
	T_EQ(got_data(&me, id, 0, 3, true), 0);
	if (!(id & 2))
		T_EQ(streams_write(&me.s, id, (const uint8_t *)"abc", 3, true, 0), 0);
	turn();
	exchange();
	turn();
}

static void a_stream_is_forgotten_when_both_halves_are_over(void)
{
	begin(false);
	T_EQ(got_data(&me, 0, 0, 3, true), 0);
	turn();
	T_EQ(me.gone_cnt, 0);
	T_EQ(streams_write(&me.s, 0, (const uint8_t *)"abc", 3, true, 0), 0);
	exchange();
	T_EQ(me.gone_cnt, 0); /* by streams_reap */
	turn();
	T_EQ(me.gone_cnt, 1);
	T_EQ(me.gone[0], 0);
	T_CHECK(streams_forgotten(&me.s, 0) && !streams_find(&me.s, 0));
	/* What still arrives for it is ignored, and what is asked of it refused. */
	T_EQ(got_data(&me, 0, 0, 3, true), 0);
	T_EQ(got(&me, FRAME_RESET_STREAM, 0, 1, 3), 0);
	T_EQ(got(&me, FRAME_STOP_SENDING, 0, 1, 0), 0);
	T_EQ(streams_write(&me.s, 0, NULL, 0, true, 0), -EPIPE);
	T_EQ(streams_reset(&me.s, 0, 1), -EPIPE);
	T_EQ(streams_stop(&me.s, 0, 1), -EPIPE);
	T_EQ(streams_consume(&me.s, 0, 1, 0, 0), 0);
	T_EQ(me.s.stream_cnt, 0);
	T_EQ(turn(), 0);
	side_close(&me);
}

/* A peer that closes in the worst order gets no more than a range per stream it has open. */
static void what_is_forgotten_takes_bounded_memory(void)
{
	begin(false);
	for (uint64_t number = 0; number < 128; number += 2)
		finish(number * 4 + 2);
	T_EQ(me.s.limits[KIND_UNI].closed[0].cnt, 64);
	/* 64 are open and never named; 64 more may be opened, and so on: always every second. */
	for (uint64_t number = 128; number < 192; number++)
		finish(number * 4 + 2);
	T_EQ(me.s.limits[KIND_UNI].closed[0].cnt, 65);
	for (uint64_t number = 192; number < 10000; number++)
		finish(number * 4 + 2);
	T_CHECK(me.s.limits[KIND_UNI].closed[0].cnt <= 129);
	T_CHECK(!streams_forgotten(&me.s, 1 * 4 + 2) &&
		streams_forgotten(&me.s, 9999 * 4 + 2));
	T_EQ(got_data(&me, 1 * 4 + 2, 0, 5, false), 0); /* still open */
	T_EQ(turn(), 1);
	side_close(&me);
}

/* Streams that close in order leave nothing behind, not even a table. */
static void ten_thousand_closed_streams_leave_an_idle_connection_small(void)
{
	struct qx_conn_config cfg = side_config;

	cfg.max_streams_uni = 10000;
	side_open(&me, cfg, false);
	for (uint64_t number = 0; number < 10000; number++)
		T_EQ(got_data(&me, number * 4 + 2, 0, 1, true), 0);
	T_CHECK(streams_memory_bytes(&me.s) > 10000 * sizeof(struct stream));
	T_EQ(turn(), 10000);
	T_EQ(me.gone_cnt, 10000);
	T_EQ(me.s.limits[KIND_UNI].closed[0].cnt, 1);
	T_CHECK(sizeof(me.s) + streams_memory_bytes(&me.s) < 4096);
	side_close(&me);
}

/* RFC 9000 section 4.6; a peer at its limit hears of each stream that it gets back. */
static void closed_streams_are_given_back(void)
{
	struct got_frame f;

	begin(false);
	for (uint64_t number = 0; number < 64; number++) {
		finish(number * 4 + 2);
		T_EQ(me.s.limits[KIND_UNI].ours_sent, 128);
	}
	finish(64 * 4 + 2);
	T_CHECK(me.s.limits[KIND_UNI].want_max_streams ||
		me.s.limits[KIND_UNI].ours_sent == 193);
	exchange();
	T_EQ(me.s.limits[KIND_UNI].ours_sent, 193);
	T_EQ(got_data(&me, 192 * 4 + 2, 0, 1, false), 0);
	T_CHECK(!sends(FRAME_MAX_STREAMS_UNI, &f)); /* none has closed since */
	T_EQ(got_data(&me, 192 * 4 + 2, 1, 0, true), 0);
	turn();
	T_CHECK(sends(FRAME_MAX_STREAMS_UNI, &f));
	T_EQ(f.fields[0], 194);
	T_EQ(got_data(&me, 193 * 4 + 2, 0, 1, false), 0);
	T_EQ(got_data(&me, 194 * 4 + 2, 0, 1, false), STREAM_ERR_LIMIT);
	side_close(&me);
}

/* Credit that was not worth a frame becomes so when the peer uses its last stream. */
static void opening_the_last_stream_brings_what_has_closed_before(void)
{
	struct got_frame f;

	begin(false);
	for (uint64_t number = 0; number < 10; number++)
		finish(number * 4 + 2);
	T_CHECK(!sends(FRAME_MAX_STREAMS_UNI, &f));
	T_EQ(got_data(&me, 127 * 4 + 2, 0, 1, false), 0);
	T_CHECK(sends(FRAME_MAX_STREAMS_UNI, &f));
	T_EQ(f.fields[0], 138);
	side_close(&me);
}

/* RFC 9000 sections 19.11, 19.14: a number above 2^60 is a FRAME_ENCODING_ERROR. */
static void impossible_numbers_of_streams_are_encoding_errors(void)
{
	const uint64_t most = UINT64_C(1) << 60;

	begin(false);
	T_EQ(got(&me, FRAME_MAX_STREAMS_BIDI, most + 1, 0, 0), STREAM_ERR_ENCODING);
	T_EQ(got(&me, FRAME_STREAMS_BLOCKED_UNI, most + 1, 0, 0), STREAM_ERR_ENCODING);
	T_EQ(got(&me, FRAME_STREAMS_BLOCKED_UNI, most, 0, 0), 0);
	T_EQ(got(&me, FRAME_MAX_STREAMS_BIDI, most, 0, 0), 0);
	T_EQ(streams_write(&me.s, (UINT64_C(1) << 62) - 3, NULL, 0, true, 0), 0);
	exchange();
	side_close(&me);
}

/* RFC 9000 section 4.1, both levels, for data and for the final size of a reset. */
static void flow_control_is_enforced_at_both_levels(void)
{
	struct qx_conn_config cfg = side_config;

	cfg.max_data_bytes = 1000;
	cfg.max_stream_data_bytes = 600;
	side_open(&me, cfg, false);
	T_EQ(got_data(&me, 0, 600, 1, false), STREAM_ERR_FLOW_CONTROL);
	side_close(&me);
	side_open(&me, cfg, false);
	T_EQ(got_data(&me, 0, 0, 600, false), 0);
	T_EQ(got_data(&me, 0, 0, 600, false), 0); /* again costs nothing */
	T_EQ(got_data(&me, 4, 399, 1, false), 0);
	T_EQ(got_data(&me, 8, 0, 1, false), STREAM_ERR_FLOW_CONTROL);
	side_close(&me);
	side_open(&me, cfg, false);
	T_EQ(got(&me, FRAME_RESET_STREAM, 0, 9, 601), STREAM_ERR_FLOW_CONTROL);
	side_close(&me);
	side_open(&me, cfg, false);
	T_EQ(got(&me, FRAME_RESET_STREAM, 0, 9, 600), 0);
	T_EQ(got(&me, FRAME_RESET_STREAM, 4, 9, UINT64_MAX >> 2), STREAM_ERR_FLOW_CONTROL);
	side_close(&me);
}

/* RFC 9000 section 19.8: offset + length beyond 2^62 - 1. */
static void data_beyond_the_last_offset_is_an_encoding_error(void)
{
	struct qx_conn_config cfg = side_config;

	cfg.max_data_bytes = cfg.max_stream_data_bytes = QX_VARINT_MAX;
	side_open(&me, cfg, false);
	T_EQ(got_data(&me, 0, QX_VARINT_MAX, 1, false), STREAM_ERR_ENCODING);
	T_EQ(got_data(&me, 0, QX_VARINT_MAX - 1, 1, false), STREAM_ERR_INTERNAL);
	T_EQ(got_data(&me, 4, 0, 1, false), STREAM_ERR_FLOW_CONTROL); /* all is used */
	side_close(&me);
	side_open(&me, cfg, false);
	T_EQ(got_data(&me, 0, QX_VARINT_MAX, 0, true), 0); /* only tells its size */
	side_close(&me);
}

static const struct t_case cases[] = {
	{"next IDs go up by four", next_ids_go_up_by_four},
	{"frames for the wrong half are state errors",
	 frames_for_the_wrong_half_are_state_errors},
	{"the peer's streams end at what it was told",
	 the_peers_streams_end_at_what_it_was_told},
	{"a million streams opened by one frame cost one",
	 a_million_streams_opened_by_one_frame_cost_one},
	{"an application opens only its own", an_application_opens_only_its_own},
	{"a stream is forgotten when both halves are over",
	 a_stream_is_forgotten_when_both_halves_are_over},
	{"what is forgotten takes bounded memory", what_is_forgotten_takes_bounded_memory},
	{"ten thousand closed streams leave an idle connection small",
	 ten_thousand_closed_streams_leave_an_idle_connection_small},
	{"closed streams are given back", closed_streams_are_given_back},
	{"opening the last stream brings what has closed before",
	 opening_the_last_stream_brings_what_has_closed_before},
	{"impossible numbers of streams are encoding errors",
	 impossible_numbers_of_streams_are_encoding_errors},
	{"flow control is enforced at both levels", flow_control_is_enforced_at_both_levels},
	{"data beyond the last offset is an encoding error",
	 data_beyond_the_last_offset_is_an_encoding_error},
};
T_MAIN(cases)
