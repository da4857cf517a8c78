/* test_hostile.c: a peer that has keys and breaks every rule gets the error that RFC 9000
 * names, or is ignored.  What it costs: test_hostile_costs.c. */
#include <errno.h>

#include "hostile.h"

/* ---- Frames that end the connection ---- */

static const struct offence offences[] = {
	{"a type cut short", BYTES(0x01, 0x40), 0x07, FRAME_TYPE_NONE, "Malformed frame type",
	 0},
	{"an unknown type", BYTES(0x1f, 0), 0x07, 0x1f, "Unknown frame type", 0},
	{"an unknown long type", BYTES(V4(0x12345)), 0x07, 0x12345, "Unknown frame type", 0},
	{"the largest type", BYTES(V8_MAX), 0x07, QX_VARINT_MAX, "Unknown frame type", 0},
	{"CRYPTO cut short", BYTES(0x06, 0, 5, 1), 0x07, 0x06, "Failed to parse frame", 0},
	{"PATH_CHALLENGE cut short", BYTES(0x1a, 1, 2), 0x07, 0x1a, "Failed to parse frame",
	 0},
	{"NEW_CONNECTION_ID cut short", BYTES(0x18, 1, 0, 8, 1, 2), 0x07, 0x18,
	 "Failed to parse frame", 0},
	{"CONNECTION_CLOSE cut short", BYTES(0x1c, 0, 0, 9, 'x'), 0x07, 0x1c,
	 "Failed to parse frame", 0},

	{"STREAM without an ID", BYTES(0x01, 0x08), 0x07, 0x08, "Failed to parse frame", 0},
	{"STREAM longer than the packet", BYTES(0x0a, 0, 9, 1), 0x07, 0x0a,
	 "Failed to parse frame", 0},
	{"STREAM at the end of all offsets", BYTES(0x0e, 0, V8_MAX, 1, 1), 0x07, 0x0e,
	 "offset + length cannot exceed 2^62 - 1", 0},
	{"STREAM on a stream that only we send", BYTES(0x0a, 3, 1, 1), 0x05, 0x0a,
	 "Stream is send-only", 0},
	{"STREAM on one of ours that is not open", BYTES(0x0a, 5, 1, 1), 0x05, 0x0a,
	 "Wrong stream initiator", 0},
	{"STREAM beyond MAX_STREAMS", BYTES(0x0a, V4(400), 1, 1), 0x04, 0x0a,
	 "Too many streams open", 0},
	{"STREAM on the last stream of all",
	 BYTES(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 1, 1), 0x04, 0x0a,
	 "Too many streams open", 0},
	{"STREAM beyond the stream's limit", BYTES(0x0e, 0, V4(1 << 18), 1, 1), 0x03, 0x0e,
	 "Over stream data limit", 0},
	{"STREAM beyond its final size", BYTES(0x0e, 4, 3, 1, 1), 0x06, 0x0e,
	 "Data received beyond final size", 0},
	{"STREAM with another final size", BYTES(0x0f, 4, 1, 1, 1), 0x06, 0x0f,
	 "Cannot change final size", 0},
	{"FIN below what was received", BYTES(0x0f, 0, 1, 1, 1), 0x06, 0x0f,
	 "Data received beyond final size", 0},

	{"RESET_STREAM cut short", BYTES(0x04, 0, 1), 0x07, 0x04, "Failed to parse frame", 0},
	{"RESET_STREAM on one that only we send", BYTES(0x04, 3, 0, 0), 0x05, 0x04,
	 "Stream is send-only", 0},
	{"RESET_STREAM below what was received", BYTES(0x04, 0, 0, 9), 0x06, 0x04,
	 "Data received beyond final size", 0},
	{"RESET_STREAM with another final size", BYTES(0x04, 4, 0, 4), 0x06, 0x04,
	 "Cannot change final size", 0},
	{"RESET_STREAM beyond the limit", BYTES(0x04, 0, 0, V4((1 << 18) + 1)), 0x03, 0x04,
	 "Over stream data limit", 0},
	{"RESET_STREAM beyond MAX_STREAMS", BYTES(0x04, V4(400), 0, 0), 0x04, 0x04,
	 "Too many streams open", 0},

	{"STOP_SENDING cut short", BYTES(0x05, 0), 0x07, 0x05, "Failed to parse frame", 0},
	{"STOP_SENDING on one that only it sends", BYTES(0x05, 2, 0), 0x05, 0x05,
	 "Stream is receive-only", 0},
	{"STOP_SENDING on one of ours not open", BYTES(0x05, 5, 0), 0x05, 0x05,
	 "Wrong stream initiator", 0},

	{"MAX_DATA cut short", BYTES(0x01, 0x10), 0x07, 0x10, "Failed to parse frame", 0},
	{"MAX_STREAM_DATA cut short", BYTES(0x11, 0), 0x07, 0x11, "Failed to parse frame", 0},
	{"MAX_STREAM_DATA on one that only it sends", BYTES(0x11, 2, 0), 0x05, 0x11,
	 "Stream is receive-only", 0},
	{"MAX_STREAMS beyond 2^60", BYTES(0x12, 0xd0, 0, 0, 0, 0, 0, 0, 1), 0x07, 0x12,
	 "Maximum Streams cannot exceed 2^60", 0},
	{"MAX_STREAMS, unidirectional", BYTES(0x13, V8_MAX), 0x07, 0x13,
	 "Maximum Streams cannot exceed 2^60", 0},
	{"STREAMS_BLOCKED beyond 2^60", BYTES(0x16, V8_MAX), 0x07, 0x16,
	 "Maximum Streams cannot exceed 2^60", 0},
	{"STREAM_DATA_BLOCKED on one that only we send", BYTES(0x15, 3, 0), 0x05, 0x15,
	 "Stream is send-only", 0},

	{"an ACK of what was never sent", BYTES(0x02, V2(5000), 0, 0, 0), 0x0a, 0x02,
	 "ACK of a packet that was never sent", 0},
	{"an ACK below zero", BYTES(0x02, 1, 0, 0, 2), 0x07, 0x02,
	 "ACK range contains a negative packet number", 0},
	{"an ACK whose second range is below zero", BYTES(0x02, 1, 0, 1, 0, 0, 0), 0x07, 0x02,
	 "ACK range contains a negative packet number", 0},
	{"an ACK cut short", BYTES(0x02, 1, 0), 0x07, 0x02, "Failed to parse frame", 0},
	{"ACK_ECN without counts", BYTES(0x03, 0, 0, 0, 0), 0x07, 0x03,
	 "Failed to parse frame", 0},

	{"DATAGRAM longer than the packet", BYTES(0x31, 5, 1), 0x07, 0x31,
	 "Failed to parse frame", 0},
	{"STREAM to a client on a stream it has not opened", BYTES(0x0a, 8, 1, 1), 0x05, 0x0a,
	 "Wrong stream initiator", 1},
};

static void every_offence_gets_its_error(void)
{
	for (size_t i = 0; i < sizeof(offences) / sizeof(offences[0]); i++) {
		const struct offence *o = &offences[i];
		const uint32_t victim = o->to_client ? CLIENT : SERVER;
		uint64_t packets;

		prepare(NULL);
		if (pair_inject(victim, o->frames, o->len_bytes) != 0)
			T_FAIL("%s went through", o->what);
		check_error(victim, o);
		/* From then on it is deaf and dumb, but for what aioquic closes with. */
		pair_write(victim, victim ? 1 : 0, 10, 100, false, true);
		packets = sides[victim].packets;
		pair_run(10 * S_NS);
		T_EQ(sides[victim].packets, packets);
		T_EQ(pair_inject(1 - victim, BYTES(FRAME_CONNECTION_CLOSE, 7, 0, 0)), 0);
		pair_end();
	}
}

/* ---- Frames that are allowed ---- */

#define LARGEST_STREAM_CNT 0xd0, 0, 0, 0, 0, 0, 0, 0 /* 2^60 */

/* The largest of every field that may have it. */
static void fields_at_their_limits_are_taken(void)
{
	const struct {
		const uint8_t *frames;
		uint32_t len_bytes;
	} rows[] = {
		{BYTES(FRAME_RESET_STREAM, 8, V8_MAX, 0)},
		{BYTES(FRAME_RESET_STREAM, 12, 0, V4(1 << 18))},
		{BYTES(FRAME_STOP_SENDING, 1, V8_MAX)},
		{BYTES(FRAME_STREAM | 7, 16, V4((1 << 18) - 1), 1, 7)},
		{BYTES(FRAME_STREAM | 2, V2(396), 0)},
		{BYTES(FRAME_MAX_DATA, V8_MAX)},
		{BYTES(FRAME_MAX_STREAM_DATA, 3, V8_MAX)},
		{BYTES(FRAME_MAX_STREAMS_BIDI, LARGEST_STREAM_CNT)},
		{BYTES(FRAME_MAX_STREAMS_UNI, LARGEST_STREAM_CNT)},
		{BYTES(FRAME_DATA_BLOCKED, V8_MAX)},
		{BYTES(FRAME_STREAM_DATA_BLOCKED, 0, V8_MAX)},
		{BYTES(FRAME_STREAMS_BLOCKED_BIDI, LARGEST_STREAM_CNT)},
		{BYTES(FRAME_STREAMS_BLOCKED_UNI, LARGEST_STREAM_CNT)},
		{BYTES(FRAME_ACK, 0, V8_MAX, 0, 0)},
		{BYTES(FRAME_ACK_ECN, 0, 0, 0, 0, V8_MAX, V8_MAX, V8_MAX)},
		{BYTES(0xc0, 0, 0, 0, 0, 0, 0, FRAME_PING)}, /* a type in eight bytes */
	};

	prepare(NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		T_EQ(pair_inject(SERVER, rows[i].frames, rows[i].len_bytes), 1);
		if (sides[SERVER].error[0])
			T_FAIL("row %zu: %s", i, sides[SERVER].error);
	}
	T_EQ(pair_stream(SERVER, 8)->reset_code, QX_VARINT_MAX);
	T_EQ(pair_stream(SERVER, 1)->stop_code, QX_VARINT_MAX);
	/* And nothing has overflowed. */
	pair_write(SERVER, 3, 10, 100000, true, true);
	pair_write(CLIENT, 0, 10, 100000, true, true);
	pair_run(10 * S_NS);
	check_received(CLIENT, 3, 100010);
	check_received(SERVER, 0, 100010);
	pair_end();
}

/* In states where they have nothing to say, also of streams long forgotten. */
static void frames_that_come_too_late_are_ignored(void)
{
	const struct {
		const uint8_t *frames;
		uint32_t len_bytes;
	} rows[] = {
		{BYTES(FRAME_STREAM | 2, 4, 2, 0, 7)},
		{BYTES(FRAME_STREAM | 3, 4, 3, 0, 7, 14)},
		{BYTES(FRAME_STREAM | 7, 4, 3, 0)},
		{BYTES(FRAME_RESET_STREAM, 4, 5, 3)},
		{BYTES(FRAME_MAX_STREAM_DATA, 4, 1)},
		{BYTES(FRAME_STREAM_DATA_BLOCKED, 4, 1)},
	};
	const uint32_t cnt = sizeof(rows) / sizeof(rows[0]);

	prepare(NULL); /* 4 has been read to its end */
	for (uint32_t over = 0; over < 2; over++) {
		const uint32_t logged = sides[SERVER].log_cnt;

		for (uint32_t i = 0; i < cnt; i++)
			T_EQ(pair_inject(SERVER, rows[i].frames, rows[i].len_bytes), 1);
		T_EQ(sides[SERVER].error[0], 0);
		for (uint32_t i = logged; i < sides[SERVER].log_cnt; i++)
			T_CHECK(sides[SERVER].log[i].type > QX_EV_STOP_SENDING);
		if (over)
			break;
		/* Now the other half too: the stream is forgotten. */
		pair_write(SERVER, 4, 0, 5, true, false);
		pair_run(S_NS);
		T_CHECK(pair_stream(SERVER, 4)->gone);
		T_EQ(pair_inject(SERVER, BYTES(FRAME_STOP_SENDING, 4, 1)), 1);
		T_CHECK(!pair_stream(SERVER, 4)->stopped);
	}
	T_EQ(pair_stats(SERVER).streams, 4);
	pair_end();
}

/* A number that is taken for a packet of aioquic's, which has not been sent yet. */
static void an_ack_of_a_packet_in_the_making_does_no_harm(void)
{
	uint8_t header[1 + CID_BYTES + 2] = {0x40}, out[64];
	uint64_t pn;

	prepare(NULL);
	T_CHECK(qx_conn_seal_foreign(sides[SERVER].c, header, sizeof(header),
				     (const uint8_t[]){1, 0, 0, 0}, 4, out, &pn) > 0);
	T_CHECK(pn < 64);
	T_EQ(pair_inject(SERVER, BYTES(FRAME_ACK, (uint8_t)pn, 0, 0, (uint8_t)pn)), 1);
	T_EQ(sides[SERVER].error[0], 0);
	T_EQ(qx_conn_adopt(sides[SERVER].c, 40, QX_CTL_ELICITING | QX_CTL_IN_FLIGHT, 7,
			   now_ns),
	     0);
	pair_run(10 * S_NS);
	T_EQ(sides[SERVER].acked_tokens + sides[SERVER].lost_tokens, 7);
	T_EQ(pair_stats(SERVER).in_flight_bytes, 0);
	pair_end();
}

/* Frames cut at every byte: an error or a shorter frame, and never more than that. */
static void frames_cut_anywhere_do_no_harm(void)
{
	static const uint8_t frames[] = {
		0x02,        1,    0,    0,           1,    0x0e,    0,    10, 3,    70,
		77,          84,   0x04, 8,           1,    0,       0x05, 1,  9,    0x10,
		V4(1 << 21), 0x11, 1,    V4(1 << 20), 0x12, V2(200), 0x14, 5,  0x15, 0,
		9,           0x31, 2,    0,           7,    0x18,    9,    0,  4,    1,
		2,           3,    4,    1,           2,    3,       4,    5,  6,    7,
		8,           9,    10,   11,          12,   13,      14,   15, 16,   0x06,
		0,           2,    1,    1,           0x1b, 1,       2,    3,  4,    5,
		6,           7,    8,    0x1d,        4,    1,       'x',
	};

	for (uint32_t len = 1; len <= sizeof(frames); len++) {
		prepare(NULL);
		pair_inject(SERVER, frames, len);
		T_CHECK(len < sizeof(frames) || sides[SERVER].error[0] == 0);
		pair_end();
	}
}

static void connection_flow_control_is_enforced(void)
{
	struct qx_conn_config cfg = pair_config(CLIENT);
	const struct offence o = {.what = "connection limit",
				  .code = 0x03,
				  .type = 0x0e,
				  .reason = "Over connection data limit"};

	cfg.max_data_bytes = 1000;
	prepare(&cfg);
	T_EQ(pair_inject(SERVER, BYTES(0x0e, 0, V4(960), 1, 1)), 1);
	T_EQ(pair_inject(SERVER, BYTES(0x0e, 8, V4(40), 1, 1)), 0);
	check_error(SERVER, &o);
	pair_end();
}

static void datagrams_beyond_the_promise_are_refused(void)
{
	struct qx_conn_config cfg = pair_config(CLIENT);
	const struct offence o = {.what = "datagram",
				  .code = 0x0a,
				  .type = 0x31,
				  .reason = "Unexpected DATAGRAM frame"};

	cfg.max_datagram_frame_bytes = 10;
	prepare(&cfg);
	T_EQ(pair_inject(SERVER, BYTES(0x31, 8, 0, 7, 14, 21, 28, 35, 42, 49)), 1);
	T_EQ(sides[SERVER].datagrams, 1);
	T_EQ(pair_inject(SERVER, BYTES(0x31, 9, 0, 7, 14, 21, 28, 35, 42, 49, 56)), 0);
	check_error(SERVER, &o);
	pair_end();
	cfg.max_datagram_frame_bytes = 0;
	prepare(&cfg);
	T_EQ(pair_inject(SERVER, BYTES(0x31, 0)), 0);
	check_error(SERVER, &o);
	pair_end();
}

/* ---- Packets made by hand ---- */

static void an_empty_packet_is_refused(void)
{
	const struct offence o = {.what = "empty",
				  .code = 0x0a,
				  .type = 0,
				  .reason = "Packet contains no frames"};

	prepare(NULL);
	T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 0, SHORT, 100, "", 0), 0);
	check_error(SERVER, &o);
	pair_end();
}

static void reserved_bits_must_be_zero(void)
{
	const struct offence o = {.what = "reserved",
				  .code = 0x0a,
				  .type = 0,
				  .reason = "Reserved bits must be zero"};

	for (uint8_t bits = 0x08; bits <= 0x18; bits += 8) {
		prepare(NULL);
		T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 0, SHORT | bits, 100, "\1", 1), 0);
		check_error(SERVER, &o);
		pair_end();
	}
	pair_open(NULL);
	pair_set_secret(SERVER, QX_EPOCH_ZERO_RTT, 0);
	T_EQ(forge(SERVER, QX_EPOCH_ZERO_RTT, 0, ZERO_RTT | 0x04, 0, "\1", 1), 0);
	check_error(SERVER, &o);
	pair_end();
}

static void zero_rtt_packets_may_not_hold_everything(void)
{
	static const uint8_t forbidden[] = {0x02, 0x03, 0x06, 0x07, 0x1b, 0x1e};
	struct offence o = {.what = "0-RTT", .code = 0x0a, .reason = "Unexpected frame type"};

	for (size_t i = 0; i < sizeof(forbidden); i++) {
		pair_open(NULL);
		pair_set_secret(SERVER, QX_EPOCH_ZERO_RTT, 0);
		T_EQ(forge(SERVER, QX_EPOCH_ZERO_RTT, 0, ZERO_RTT, 0, "\1", 1), 1);
		o.type = forbidden[i];
		T_EQ(forge(SERVER, QX_EPOCH_ZERO_RTT, 0, ZERO_RTT, 1, &forbidden[i], 1), 0);
		check_error(SERVER, &o);
		pair_end();
	}
}

static void a_replay_is_handled_once(void)
{
	static const uint8_t frames[] = {0x31, 1, 0, 0x04, 8, 1, 0};

	prepare(NULL);
	for (uint32_t i = 0; i < 10; i++)
		T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 0, SHORT, 100, frames, sizeof(frames)),
		     1);
	T_EQ(sides[SERVER].datagrams, 1);
	T_EQ(pair_stats(SERVER).duplicates, 9);
	/* As far back as anything is remembered, and further. */
	for (uint64_t pn = 0; pn < 100; pn += 2)
		forge(SERVER, QX_EPOCH_ONE_RTT, 0, SHORT, 1000 + pn, "\1\1\1", 3);
	for (uint64_t pn = 0; pn < 200; pn++)
		forge(SERVER, QX_EPOCH_ONE_RTT, 0, SHORT, 1300 + 2 * pn, "\1\1\1", 3);
	T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 0, SHORT, 100, frames, sizeof(frames)), 1);
	T_EQ(sides[SERVER].datagrams, 1);
	pair_end();
}

/* RFC 9001 section 9.4: a phase is believed only after the packet was opened. */
static void a_forged_phase_moves_nothing(void)
{
	uint8_t packet[64] = {0x47};

	prepare(NULL);
	memcpy(packet + 1, pair_cid[SERVER], CID_BYTES);
	for (uint32_t i = 0; i < 256; i++) {
		packet[0] = (uint8_t)(0x40 | (i & 0x3f));
		packet[30] = (uint8_t)i;
		T_EQ(pair_deliver(SERVER, packet, sizeof(packet)), 1);
		memcpy(packet + 1, pair_cid[SERVER], CID_BYTES);
	}
	T_EQ(pair_stats(SERVER).undecryptable, 256);
	T_EQ(qx_conn_key_phase(sides[SERVER].c, 0), 0);
	T_EQ(qx_conn_key_phase(sides[SERVER].c, 1), 0);
	pair_write(CLIENT, 0, 10, 100, false, false);
	pair_run(S_NS);
	T_EQ(pair_stream(SERVER, 0)->bytes, 110);
	pair_end();
}

/* RFC 9001 section 6.2 lets us refuse the second of two updates that no ACK of ours has
 * answered.  A few are followed, as aioquic's are none too patient, but each costs two key
 * derivations: not one per packet for ever. */
static void updates_without_end_are_refused(void)
{
	const struct offence o = {.what = "updates",
				  .code = 0x0e,
				  .type = FRAME_TYPE_NONE,
				  .reason = "Key update without acknowledgment"};

	prepare(NULL);
	for (uint32_t i = 1; i <= 8; i++) {
		T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, i, SHORT | (i % 2 ? 4 : 0), 99 + i, "\1",
			   1),
		     1);
		T_EQ(qx_conn_key_phase(sides[SERVER].c, 1), i % 2);
		T_EQ(sides[SERVER].key_updates, i);
	}
	T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 9, SHORT | 4, 108, "\1", 1), 0);
	check_error(SERVER, &o);
	pair_end();
	/* An ACK starts the count anew. */
	prepare(NULL);
	for (uint32_t i = 1; i <= 30; i++) {
		T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, i, SHORT | (i % 2 ? 4 : 0), 99 + i, "\1",
			   1),
		     1);
		now_ns += 10 * MS_NS;
		pair_flush(SERVER);
	}
	T_EQ(sides[SERVER].key_updates, 30);
	pair_end();
}

/* It follows an update of ours and begins another at once: nothing of the generation in
 * between is ever sent.  Without following by two we could never talk again. */
static void a_generation_left_out_is_followed(void)
{
	prepare(NULL);
	T_EQ(qx_conn_update_key(sides[SERVER].c, now_ns), 0);
	T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 0, SHORT, 100, "\1", 1), 1);
	T_EQ(qx_conn_key_phase(sides[SERVER].c, 1), 1);
	T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 2, SHORT, 101, "\1", 1), 1);
	T_EQ(qx_conn_key_phase(sides[SERVER].c, 0), 0);
	T_EQ(qx_conn_key_phase(sides[SERVER].c, 1), 0);
	T_EQ(sides[SERVER].key_updates, 2);
	T_EQ(pair_stats(SERVER).undecryptable, 0);
	/* Only then: a generation that we have not begun to leave is not looked for. */
	T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 4, SHORT, 102, "\1", 1), 1);
	T_EQ(pair_stats(SERVER).undecryptable, 1);
	T_EQ(qx_conn_key_phase(sides[SERVER].c, 1), 0);
	pair_end();
}

/* RFC 9001 section 6.4 */
static void old_keys_after_newer_ones_are_refused(void)
{
	prepare(NULL);
	T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 1, SHORT | 4, 100, "\1", 1), 1);
	/* Overtaken: fine. */
	T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 0, SHORT, 90, "\1", 1), 1);
	T_EQ(pair_stats(SERVER).undecryptable, 0);
	/* New keys with a number below one that had old keys. */
	T_EQ(forge(SERVER, QX_EPOCH_ONE_RTT, 1, SHORT | 4, 80, "\1", 1), 0);
	T_EQ(sides[SERVER].error_code, 0x0e);
	pair_end();
}

static const struct t_case cases[] = {
	{"every offence gets its error", every_offence_gets_its_error},
	{"fields at their limits are taken", fields_at_their_limits_are_taken},
	{"frames that come too late are ignored", frames_that_come_too_late_are_ignored},
	{"an ACK of a packet in the making does no harm",
	 an_ack_of_a_packet_in_the_making_does_no_harm},
	{"frames cut anywhere do no harm", frames_cut_anywhere_do_no_harm},
	{"connection flow control is enforced", connection_flow_control_is_enforced},
	{"datagrams beyond the promise are refused",
	 datagrams_beyond_the_promise_are_refused},
	{"an empty packet is refused", an_empty_packet_is_refused},
	{"reserved bits must be zero", reserved_bits_must_be_zero},
	{"0-RTT packets may not hold everything", zero_rtt_packets_may_not_hold_everything},
	{"a replay is handled once", a_replay_is_handled_once},
	{"a forged phase moves nothing", a_forged_phase_moves_nothing},
	{"updates without end are refused", updates_without_end_are_refused},
	{"a generation left out is followed", a_generation_left_out_is_followed},
	{"old keys after newer ones are refused", old_keys_after_newer_ones_are_refused},
};

T_MAIN(cases)
