/* test_winxdp_engine.c: QUIC end to end over XDP for Windows, simulated: the engine in C on both
 * ends of the cable, every frame on it checked byte for byte with the wire codec.
 *
 * On Linux the packets are really encrypted.  Windows' programs are linked with
 * protect_null.c instead, since no libcrypto for it is at hand where they are made: there
 * every byte stands on the cable as it is. */
#include <stdio.h>

#include "winxdp_rig.h"

#include "engine.h"
#include "quicxdp_engine.h"
#include "winxdp_pair.h"
#include "wire.h"

enum {
	CONNS = 3,
	CID_BYTES = 8,
	CHUNK_BYTES = 1 << 16,
	STREAM_BYTES = 300000,
	STEPS_MAX = 20000,
	FRAME_MAX_BYTES = 1514
};

#define STEP_NS UINT64_C(200000)

struct side {
	struct qx_datapath *dp;
	struct qx_engine *e;
	struct qx_conn *conns[CONNS];
	uint64_t got_bytes[CONNS];
	uint32_t fins;
	bool down;
};

static struct side sides[2];
static struct qx_addr addrs[2];
static uint8_t stream_data[CHUNK_BYTES];
static uint64_t now_ns, frames_seen;

static void close_sides(void)
{
	for (uint32_t s = 0; s < 2; s++) {
		for (uint32_t i = 0; i < CONNS; i++)
			if (sides[s].conns[i])
				qx_conn_close(sides[s].conns[i]);
		if (sides[s].e)
			qx_engine_close(sides[s].e);
		qx_close(sides[s].dp);
	}
	memset(sides, 0, sizeof(sides));
}

static void after_each(void)
{
	close_sides();
	rig_after_each();
}

static void make_cid(uint32_t s, uint32_t conn, uint8_t *cid)
{
	memset(cid, 0x51, CID_BYTES);
	cid[1] = (uint8_t)s;
	cid[2] = (uint8_t)conn;
}

/* ---- Every frame on the cable ---- */

/* Taken apart and put together again, it must be the same, byte for byte: lengths, ECN, both
 * checksums, and nothing behind the datagram. */
static void check_frame(uint32_t from, const uint8_t *frame, uint32_t len_bytes)
{
	uint8_t again[FRAME_MAX_BYTES], cid[CID_BYTES];
	struct wire_datagram w;
	struct qx_path path;

	T_CHECK(len_bytes <= sizeof(again));
	T_EQ(wire_parse(frame, len_bytes, sim_adapter(1 - from).mac, &w), QX_DROP_NONE);
	T_EQ(memcmp(w.peer_mac, sim_adapter(from).mac, 6), 0);
	T_EQ(memcmp(&w.path.peer, &addrs[from], sizeof(addrs[0])), 0);
	T_EQ(memcmp(&w.path.local, &addrs[1 - from], sizeof(addrs[0])), 0);
	path = (struct qx_path){.peer = w.path.local, .local = w.path.peer};
	wire_build_headers(again, sim_adapter(1 - from).mac, sim_adapter(from).mac, &path);
	memcpy(again + w.payload_off_bytes, frame + w.payload_off_bytes, w.payload_len_bytes);
	T_EQ(wire_finish(again, path.peer.family, w.payload_len_bytes, w.ecn), len_bytes);
	T_EQ(memcmp(again, frame, len_bytes), 0);

	/* A short header of a connection of the other side (RFC 9000 section 17.3.1). */
	T_EQ(frame[w.payload_off_bytes] >> 6, 1);
	make_cid(1 - from, frame[w.payload_off_bytes + 3], cid);
	T_EQ(memcmp(frame + w.payload_off_bytes + 1, cid, sizeof(cid)), 0);
	frames_seen++;
}

/* ---- Two engines ---- */

static void open_conn(uint32_t s, uint32_t number)
{
	static const uint8_t secrets[2][32] = {{3}, {4}};
	const struct qx_conn_config cfg = {.id = number,
					   .is_client = s == 0,
					   .cid_len_bytes = CID_BYTES,
					   .max_datagram_bytes = 1350,
					   .max_data_bytes = 1 << 22,
					   .max_stream_data_bytes = 1 << 20,
					   .max_streams_bidi = 10,
					   .ack_delay_ns = STEP_NS,
					   .initial_rtt_ns = 10 * STEP_NS};
	const struct qx_peer_limits limits = {.max_data = 1 << 22,
					      .max_stream_data_bidi_local = 1 << 20,
					      .max_stream_data_bidi_remote = 1 << 20,
					      .max_streams_bidi = 10,
					      .max_ack_delay_ns = STEP_NS,
					      .ack_delay_exponent = 3};
	const struct qx_path path = {.peer = addrs[1 - s]};
	struct qx_conn **c = &sides[s].conns[number];
	uint8_t cid[CID_BYTES];

	T_EQ(qx_conn_open(c, sides[s].e, &cfg), 0);
	make_cid(s, number, cid);
	T_EQ(qx_conn_add_cid(*c, cid, sizeof(cid)), 0);
	qx_conn_set_host_cid(*c, cid, sizeof(cid));
	make_cid(1 - s, number, cid);
	T_EQ(qx_conn_set_peer_cid(*c, cid, sizeof(cid)), 0);
	qx_conn_set_peer_limits(*c, &limits);
	qx_conn_set_path(*c, &path);
	for (uint32_t sending = 0; sending < 2; sending++)
		T_EQ(qx_conn_set_secret(*c, QX_EPOCH_ONE_RTT, sending, QX_AES_128_GCM_SHA256,
					1, secrets[sending ? s : 1 - s], 32),
		     0);
	qx_conn_set_complete(*c, now_ns);
	qx_conn_set_confirmed(*c, 0, now_ns);
}

static void open_sides(uint8_t family)
{
	char why[QX_WHY_BYTES];

	for (size_t i = 0; i < sizeof(stream_data); i++)
		stream_data[i] = (uint8_t)(i * 29 + i / 256);
	now_ns = 1000000000;
	frames_seen = 0;
	for (uint32_t s = 0; s < 2; s++) {
		addrs[s] = sim_addr(s, family, 0);
		addrs[s].port = (uint16_t)(4433 + s);
	}
	for (uint32_t s = 0; s < 2; s++) {
		struct qx_config cfg = {.socket_fd = -1, .local = addrs[s]};

		if (winxdp_pair_open(&sides[s].dp, s, &cfg, why) < 0)
			T_FAIL("%s", why);
		T_EQ(qx_engine_open(&sides[s].e, sides[s].dp, CID_BYTES), 0);
		for (uint32_t i = 0; i < CONNS; i++)
			open_conn(s, i);
	}
	sim_tap = check_frame;
}

static void write_stream(uint32_t s, uint32_t conn, uint64_t id)
{
	for (uint32_t left = STREAM_BYTES; left > 0;) {
		uint32_t n = left < CHUNK_BYTES ? left : (uint32_t)CHUNK_BYTES;

		left -= n;
		T_EQ(qx_stream_write(sides[s].conns[conn], id, stream_data, n, left == 0, 1),
		     0);
	}
}

static void take_events(struct side *side)
{
	const struct qx_event *events;
	uint32_t n = qx_engine_events(side->e, &events, NULL);

	for (uint32_t i = 0; i < n; i++) {
		const struct qx_event *ev = &events[i];
		uint64_t *got = &side->got_bytes[ev->conn % CONNS];

		T_CHECK(ev->type != QX_EV_ERROR && ev->type != QX_EV_DATAGRAM_UP);
		if (ev->type != QX_EV_STREAM_DATA)
			continue;
		for (uint32_t k = 0; k < ev->len_bytes; k++)
			if (ev->data[k] != stream_data[(*got + k) % CHUNK_BYTES])
				T_FAIL("byte %llu of a stream is wrong",
				       (unsigned long long)(*got + k));
		*got += ev->len_bytes;
		side->fins += (ev->flags & QX_EV_FIN) != 0;
	}
	qx_engine_events_done(side->e);
}

static void turn(struct side *side)
{
	int got = qx_engine_receive(side->e, now_ns);

	if (got == -ENETDOWN) {
		side->down = true;
		return;
	}
	T_CHECK(got >= 0);
	take_events(side);
	T_CHECK(qx_engine_flush(side->e, now_ns) >= 0);
}

static void step(void)
{
	now_ns += STEP_NS;
	for (uint32_t s = 0; s < 2; s++)
		if (!sides[s].down)
			turn(&sides[s]);
	sim_step();
}

static bool finished(void)
{
	return sides[0].fins == CONNS && sides[1].fins == CONNS;
}

static void check_census(struct qx_datapath *dp)
{
	struct qx_stats stats;
	uint32_t sum = 0;

	T_EQ(qx_get_stats(dp, &stats), 0);
	for (int i = 0; i < QX_FRAME_STATE_CNT; i++)
		sum += stats.frames[i];
	T_EQ(sum, stats.frame_cnt);
	T_EQ(stats.frames[QX_FRAME_LENT], 0);
}

static void transfer_both_ways(void)
{
	for (uint32_t i = 0; i < CONNS; i++) {
		write_stream(0, i, 0);
		write_stream(1, i, 1);
	}
	for (uint32_t i = 0; !finished(); i++) {
		if (i == STEPS_MAX)
			T_FAIL("%u and %u of %u streams ended", sides[0].fins, sides[1].fins,
			       CONNS);
		step();
	}
	for (uint32_t s = 0; s < 2; s++) {
		for (uint32_t i = 0; i < CONNS; i++)
			T_EQ(sides[s].got_bytes[i], STREAM_BYTES);
		check_census(sides[s].dp);
	}
	T_EQ(frames_seen, sim_counts.packets);
	T_CHECK(frames_seen > 2ull * CONNS * STREAM_BYTES / 1350);
	T_EQ(sim_counts.waits_refused, 0);
	T_EQ(sim_counts.needless_pokes, 0);
}

/* The whole of it: packets built in frames, sealed there, out and in through the rings. */
static void quic_streams_arrive_and_every_frame_is_right(void)
{
	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		sim_reset();
		open_sides(family);
		transfer_both_ways();
		close_sides();
	}
}

/* The adapter finishes the checksums; on the cable the frames are the same. */
static void with_checksum_offload_every_frame_is_right_too(void)
{
	sim_reset();
	sim_config.offload = true;
	open_sides(QX_IPV6);
	transfer_both_ways();
	T_EQ(sim_counts.finished_checksums, sim_counts.packets);
}

/* Packets lost for want of buffers are QUIC's to repair. */
static void streams_survive_a_driver_that_is_slow(void)
{
	sim_reset();
	sim_config.tx_budget = 3;
	sim_config.completion_cap = 8;
	sim_config.spurious_every = 2;
	open_sides(QX_IPV4);
	transfer_both_ways();
}

/* In the middle of a transfer: told once, and nothing hangs on to the dead adapter. */
static void an_adapter_pulled_during_a_transfer_ends_its_lane_alone(void)
{
	sim_reset();
	open_sides(QX_IPV4);
	for (uint32_t i = 0; i < CONNS; i++)
		write_stream(0, i, 0);
	for (int i = 0; i < 20; i++)
		step();
	T_CHECK(sides[1].got_bytes[0] > 0);
	sim_remove(0);
	for (int i = 0; i < 100; i++)
		step();
	T_CHECK(sides[0].down);
	T_CHECK(!sides[1].down);
	check_census(sides[1].dp);
}

static const struct t_case cases[] = {
	{"QUIC streams arrive and every frame is right",
	 quic_streams_arrive_and_every_frame_is_right},
	{"with checksum offload every frame is right too",
	 with_checksum_offload_every_frame_is_right_too},
	{"streams survive a driver that is slow", streams_survive_a_driver_that_is_slow},
	{"an adapter pulled during a transfer ends its lane alone",
	 an_adapter_pulled_during_a_transfer_ends_its_lane_alone},
};

int main(int argc, char **argv)
{
	t_after_each = after_each;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv) | rig_leaks;
}
