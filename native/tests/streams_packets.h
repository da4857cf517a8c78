/* streams_packets.h: one end of a connection, and the frames of the packet it wrote last. */
#ifndef QX_STREAMS_PACKETS_H
#define QX_STREAMS_PACKETS_H

#include "streams_side.h"

static struct side me;
static uint8_t text[1 << 17];
static struct got_frame frames[256]; /* of the packet written last */
static uint32_t frame_cnt;
static uint8_t packet[PACKET_BYTES];

static inline void begin(struct qx_peer_limits limits)
{
	side_open(&me, side_config, true); /* ours are 0, 4.. and 2, 6.. */
	streams_set_peer_limits(&me.s, &limits);
	bytes_at(text, 0, sizeof(text));
}

static inline int put(uint64_t id, uint32_t len, bool fin)
{
	return streams_write(&me.s, id, text, len, fin, 0);
}

/* Writes a packet of room bytes and parses it; returns how many frames it has. */
static inline uint32_t write_packet(uint32_t room, bool complete)
{
	const uint32_t len = side_write(&me, packet, room, complete);
	struct reader r = {packet, packet + len, false};

	frame_cnt = 0;
	while (next_frame(&r, &frames[frame_cnt]))
		frame_cnt++;
	if (len == 0)
		T_CHECK(!streams_have_work(&me.s, complete) || room < 40);
	return frame_cnt;
}

static inline uint32_t count(uint64_t type)
{
	uint32_t cnt = 0;

	for (uint32_t i = 0; i < frame_cnt; i++)
		cnt += frames[i].type == type;
	return cnt;
}

static inline void expect_stream(uint32_t i, uint64_t id, uint64_t off, uint32_t len,
				 bool fin)
{
	T_CHECK(i < frame_cnt);
	T_EQ(frames[i].type, FRAME_STREAM);
	T_EQ(frames[i].fields[0], id);
	T_EQ(frames[i].fields[1], off);
	T_EQ(frames[i].len_bytes, len);
	T_EQ(frames[i].fin, fin);
}

static inline void expect_control(uint32_t i, uint64_t type, uint64_t a, uint64_t b,
				  uint64_t c)
{
	T_CHECK(i < frame_cnt);
	T_EQ(frames[i].type, type);
	T_EQ(frames[i].fields[0], a);
	T_EQ(frames[i].fields[1], b);
	T_EQ(frames[i].fields[2], c);
}

static inline void last_packet(bool acked)
{
	side_fate(&me, me.sent.next - 1, acked);
}

#endif
