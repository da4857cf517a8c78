/* fuzz_connection.c: two whole connections behind null encryption; the input is what their
 * applications do, what the network does to their packets and, in hostile runs, what packets
 * a peer with keys makes up.
 *
 * Always: every held buffer is released exactly once, what events point to is readable, no
 * timer stands still, memory stays bounded and nothing is left at the end.  Without hostile
 * packets: no side ever accuses the other, and each stream's bytes arrive as written. */
#include "fuzz_sides.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	MEMORY_MAX_BYTES = 2 << 20,
	OPS_MAX = 4000,
	OPS = 18 /* kinds of operations; EXCHANGE, the last of the first 16, is the default */
};

/* ---- Applications and aioquic ---- */

static void write_some(uint32_t s, struct input *in)
{
	struct side *side = &sides[s];
	const uint64_t id = take(in) % STREAMS;
	const uint32_t len = take2(in) % (sizeof(pattern) / 2), flags = take(in);
	const uint64_t at = side->written[id] % sizeof(pattern);
	uint64_t token = 0;

	/* Never around the pattern's end. */
	const uint32_t n =
		at + len <= sizeof(pattern) ? len : (uint32_t)(sizeof(pattern) - at);

	for (uint64_t t = 1; t < TOKENS && flags & 2 && !token; t++)
		if (!side->held[t])
			token = t;
	if (qx_stream_write(side->c, id, pattern + at, n, flags & 1, token) < 0)
		return;
	side->written[id] += n;
	side->held[token] = token != 0;
}

static void foreign(uint32_t s, struct input *in)
{
	uint8_t header[1 + CID_BYTES + 2] = {0x40}, payload[600] = {0}, out[700];
	const uint32_t room = 20 + take2(in) % 580, how = take(in);
	uint32_t flags = 0;
	uint64_t pn;
	int n = 0;

	if (how & 1)
		n = qx_conn_fill(sides[s].c, now_ns, room, payload, &flags);
	REQUIRE(n >= 0 && (uint32_t)n <= room);
	memcpy(header + 1, cids[1 - s], CID_BYTES);
	if (n < 4)
		n = 4;
	n = how & 2 ? qx_conn_seal_foreign(sides[s].c, header, sizeof(header), payload,
					   (uint32_t)n, out, &pn)
		    : -1;
	if (n > 0 && wire_cnt < WIRE_MAX &&
	    qx_conn_has_keys(sides[s].c, QX_EPOCH_ONE_RTT, 1)) {
		wire[wire_cnt].to = 1 - s;
		wire[wire_cnt].len_bytes = (uint32_t)n;
		memcpy(wire[wire_cnt++].bytes, out, (size_t)n);
	}
	if (how & 4)
		qx_conn_adopt(sides[s].c, room, flags, how >> 3, now_ns);
	hear(s);
}

static void push_control(uint32_t s, struct input *in)
{
	const uint32_t flags = take(in) & 15;
	uint8_t frame[9] = {0x1a};

	if (flags & 1)
		qx_conn_push_control(sides[s].c, frame, sizeof(frame), take(in), flags);
	else
		qx_conn_push_control(sides[s].c, (const uint8_t[]){0x1e}, 1, 0, flags);
}

static void handshake(uint32_t s, uint32_t step)
{
	switch (step % 7) {
	case 0:
		set_keys(s, QX_EPOCH_ONE_RTT, 0);
		break;
	case 1:
		set_keys(s, QX_EPOCH_ONE_RTT, 1);
		break;
	case 2:
		qx_conn_set_complete(sides[s].c, now_ns);
		break;
	case 3:
		qx_conn_set_confirmed(sides[s].c, 20000, now_ns);
		break;
	case 4:
		qx_conn_reset_path(sides[s].c, now_ns);
		break;
	case 6:
		if ((sides[s].remembers || hostile) &&
		    qx_conn_reject_zero_rtt(sides[s].c, &sides[s].limits, now_ns) == 0)
			sides[s].remembers = false;
		break;
	default:
		qx_conn_lose_zero_rtt(sides[s].c, now_ns);
	}
}

static void let_time_pass(uint32_t s, uint32_t how)
{
	const uint64_t deadline_ns = qx_conn_deadline(sides[s].c);

	if (how & 1)
		now_ns += (uint64_t)how * how * 10000;
	else if (deadline_ns != QX_NEVER_NS && deadline_ns > now_ns)
		now_ns = deadline_ns;
	for (s = 0; s < 2; s++)
		if (qx_conn_deadline(sides[s].c) <= now_ns) {
			qx_conn_handle_timer(sides[s].c, now_ns);
			hear(s);
		}
}

static void limit(uint32_t s, struct input *in)
{
	const uint32_t how = take(in);

	if (how & 1)
		qx_conn_set_budget(sides[s].c, how & 2 ? UINT64_MAX : take2(in));
	else
		qx_conn_set_foreign_in_flight(sides[s].c, how & 2 ? 0 : take2(in));
}

/* Another path: the connection IDs change with it, or the old path comes back. */
static void move(uint32_t s, uint32_t how)
{
	static const struct qx_path path;
	struct qx_conn *c = sides[s].c;

	switch (how % 5) {
	case 0:
		qx_conn_set_path(c, &path);
		break;
	case 1:
		qx_conn_abandon_path(c, how);
		break;
	case 2:
		qx_conn_set_rtt(c, how * 100000, how * 100000, how * 50000, how * 90000);
		break;
	case 3:
		qx_conn_set_foreign_window(c, how * 1000);
		break;
	default:
		REQUIRE(qx_conn_set_peer_cid(c, cids[1 - s], CID_BYTES) == 0);
	}
}

static void act(struct input *in)
{
	const uint32_t op = take(in), s = op & 1;

	switch ((op >> 1) % OPS) {
	case 0:
	case 1:
		write_some(s, in);
		break;
	case 2:
		qx_stream_reset(sides[s].c, take(in) % STREAMS, take(in));
		break;
	case 3:
		qx_stream_stop(sides[s].c, take(in) % STREAMS, take(in));
		break;
	case 4:
		qx_stream_consume(sides[s].c, take(in) % STREAMS, take2(in));
		break;
	case 5:
		qx_conn_send_datagram(sides[s].c, pattern, take2(in) % 1400);
		break;
	case 6:
		qx_conn_update_key(sides[s].c, now_ns);
		break;
	case 7:
		limit(s, in);
		break;
	case 8:
		push_control(s, in);
		break;
	case 9:
		foreign(s, in);
		break;
	case 10:
		let_time_pass(s, take(in));
		break;
	case 11:
		handshake(s, take(in));
		break;
	case 12:
		deliver(take(in), true);
		break;
	case 13:
		if (wire_cnt > 0)
			wire_cnt--; /* lost */
		break;
	case 14:
		if (hostile)
			make_up(s, in);
		else
			qx_stream_set_low_mark(sides[s].c, take(in) % STREAMS, take2(in));
		break;
	case 16:
		if (hostile)
			make_up_frames(s, in);
		break;
	case 17:
		move(s, take(in));
		break;
	default:
		send_all(s);
		deliver(take(in), false);
	}
	hear(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	const uint32_t mode = take(&in);
	uint32_t options[2];
	struct qx_conn_stats stats;

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 5 + i / 256);
	if (!tags[0][0] && !tags[0][1])
		make_tags();
	hostile = mode & 1;
	wire_cnt = 0;
	now_ns = 1000000000;
	for (uint32_t s = 0; s < 2; s++)
		options[s] = take(&in);
	for (uint32_t s = 0; s < 2; s++)
		open_side(s, options[s], options[1 - s], s == 0 && mode & 8);
	for (uint32_t s = 0; s < 2; s++) {
		/* A server that will reject 0-RTT cannot open it. */
		if (mode & 2 && (s == 0 || !(mode & 8)))
			set_keys(s, QX_EPOCH_ZERO_RTT, s == 0);
		for (uint32_t step = 0; step < 4 && !(mode & 4); step++)
			handshake(s, step);
	}
	for (uint32_t n = 0; in.at < in.end && n < OPS_MAX; n++)
		act(&in);
	for (uint32_t s = 0; s < 2; s++) {
		send_all(s);
		qx_conn_get_stats(sides[s].c, &stats);
		REQUIRE(stats.memory_bytes < MEMORY_MAX_BYTES + stats.unsent_bytes);
	}
	for (uint32_t s = 0; s < 2; s++)
		close_side(s);
	return 0;
}
