/* datapath_io.c: packets through a datapath: which lane is asked, and which one sends.
 *
 * Receiving, the rings come first because asking them costs no system call.  The socket is
 * asked when they had nothing, and every few turns in any case, so that neither lane can
 * starve the other; until then the wait set stays readable for what the socket holds.  Once
 * found empty it is left alone for a while: a caller that spins on the rings, or is faster
 * than its sender, would otherwise pay a system call per packet for hearing "nothing". */
#include <errno.h>
#include <string.h>

#include "datapath.h"

enum {
	SOCKET_TURNS = 8,  /* of busy rings, then the socket is asked all the same */
	QUIET_NS = 100000, /* an empty socket is not asked again for this long */
	RUN_MAX = 64       /* datagrams of one reservation of qx_send: one GSO message */
};

/* ---- Wake-ups for writing ---- */

/* The caller may go to sleep after this. */
static void expect_port(struct qx_datapath *dp, bool room)
{
	if (dp->port && !dp->port_down && !(dp->flags & QX_CFG_SPIN))
		port_expect(dp->port, room);
}

/* Starving is a promise that qx_fd becomes readable once there is room. */
static void set_want_write(struct qx_datapath *dp, enum qx_lane lane, bool want)
{
	if (dp->want_write[lane] == want)
		return;
	dp->want_write[lane] = want;
	if (lane == QX_LANE_SOCKET) {
		wait_want_write(dp->wait, udp_fd(dp->udp), want);
		return;
	}
	if (dp->flags & QX_CFG_SPIN)
		return;
	if (want)
		expect_port(dp, true);
	for (uint32_t q = 0; q < device_queue_cnt(dp->dev); q++) {
		int fd = device_queue_tx_fd(dp->dev, q);

		if (want)
			wait_watch_write(dp->wait, fd);
		else
			wait_unwatch(dp->wait, fd);
	}
}

void datapath_want_room(struct qx_datapath *dp, bool want)
{
	set_want_write(dp, QX_LANE_XDP, want);
}

/* ---- Receiving ---- */

static bool has_rings(const struct qx_datapath *dp)
{
	while (dp && (!dp->port || dp->port_down))
		dp = dp->next;
	return dp != NULL;
}

/* Is it the socket's turn?  Asked before the rings with what they gave last, and after
 * them if they gave nothing. */
static bool socket_is_due(const struct qx_datapath *dp, bool rings_empty, uint64_t now_ns)
{
	if (!dp->udp)
		return false;
	if (!has_rings(dp))
		return true;
	if (dp->socket_was_empty)
		return now_ns - dp->socket_asked_ns >= QUIET_NS;
	return rings_empty || dp->turns_without_socket >= SOCKET_TURNS;
}

static void recv_socket(struct qx_datapath *dp, struct qx_batch *batch, uint64_t now_ns)
{
	uint32_t before = batch->datagram_cnt;

	dp->turns_without_socket = 0;
	dp->socket_asked_ns = now_ns;
	dp->socket_was_empty = udp_recv(dp->udp, batch) == 0;
	if (dp->tap)
		datapath_tap_received(dp, batch, before);
}

/* recv_port appends what came over interface number n, of which m is the part. */
static void recv_port(struct qx_datapath *m, uint32_t n, struct qx_batch *batch,
		      uint64_t now_ns)
{
	uint32_t before = batch->datagram_cnt;
	int got;

	if (!m->port || m->port_down)
		return;
	got = port_recv(m->port, batch, now_ns);
	for (uint32_t i = before; n > 0 && i < batch->datagram_cnt; i++)
		batch->datagrams[i].lane = (uint8_t)(QX_LANE_XDP + n);
	if (got >= 0)
		return;
	m->deferred_error = got;
	if (got == -ENETDOWN) {
		/* A dead descriptor would stay ready for ever. */
		set_want_write(m, QX_LANE_XDP, false);
		datapath_unwatch_port(m);
		m->port_down = true;
	} else if (got == -ESTALE) {
		m->port_stale = true;
	}
}

/* The first one may fill the batch, so each comes first in turn. */
static void recv_ports(struct qx_datapath *dp, struct qx_batch *batch, uint64_t now_ns)
{
	struct qx_datapath *m = dp;
	uint32_t n = 0;

	if (!dp->next) {
		recv_port(dp, 0, batch, now_ns);
		return;
	}
	for (uint32_t i = 0; i < dp->turns % (QX_MORE_INTERFACES_MAX + 1); i++) {
		m = m->next ? m->next : dp;
		n = m == dp ? 0 : n + 1;
	}
	for (struct qx_datapath *first = m; m;) {
		recv_port(m, n, batch, now_ns);
		m = m->next ? m->next : dp;
		n = m == dp ? 0 : n + 1;
		if (m == first)
			break;
	}
}

/* Each interface's error is told by a qx_recv of its own, which has no datagrams; one that has
 * to wait for the next makes qx_fd readable, since its interface does not any more. */
static int tell_error(struct qx_datapath *dp, uint32_t datagram_cnt)
{
	int err = 0;

	for (struct qx_datapath *m = dp; m; m = m->next) {
		if (m->deferred_error == 0)
			continue;
		if (err < 0 || datagram_cnt > 0) {
			wait_signal(dp->wait);
			break;
		}
		err = m->deferred_error;
		m->deferred_error = 0;
	}
	return err;
}

int qx_recv(struct qx_datapath *dp, struct qx_batch *batch, uint64_t now_ns)
{
	int err = datapath_usable(dp);
	uint32_t before;

	if (err < 0)
		return err;
	if (dp->lent)
		return -EBUSY;
	batch->datagram_cnt = batch->path_cnt = 0;
	dp->turns++;
	dp->now_ns = now_ns;
	wait_clear(dp->wait, now_ns);
	if (dp->tap && dp->simulated)
		tap_set_virtual_now(dp->tap, now_ns);
	/* The rings were full of frames under way; the caller tries again now, and if it
	 * has nothing to send any more, nothing may stay ready for it. */
	for (struct qx_datapath *m = dp; m; m = m->next)
		if (m->starved[QX_LANE_XDP]) {
			m->starved[QX_LANE_XDP] = false;
			set_want_write(m, QX_LANE_XDP, false);
		}
	dp->turns_without_socket++;
	if (dp->rings_were_busy && socket_is_due(dp, false, now_ns))
		recv_socket(dp, batch, now_ns);
	before = batch->datagram_cnt;
	recv_ports(dp, batch, now_ns);
	dp->rings_were_busy = batch->datagram_cnt > before;
	if (batch->datagram_cnt == 0 && socket_is_due(dp, true, now_ns))
		recv_socket(dp, batch, now_ns);
	dp->turns_empty += batch->datagram_cnt == 0;
	for (struct qx_datapath *m = dp; m; m = m->next)
		expect_port(m, false);
	if ((err = tell_error(dp, batch->datagram_cnt)) < 0)
		return err;
	dp->lent = batch->datagram_cnt > 0;
	return (int)batch->datagram_cnt;
}

/* How many datagrams from the first on share its buffer: a GRO message's segments. */
static uint32_t same_frame_cnt(const struct qx_datagram *d, const struct qx_datagram *end)
{
	const struct qx_datagram *first = d;

	while (d < end && d->frame == first->frame && d->lane == first->lane)
		d++;
	return (uint32_t)(d - first);
}

void qx_recv_done(struct qx_datapath *dp, struct qx_batch *batch)
{
	const struct qx_datagram *d = batch->datagrams, *end = d + batch->datagram_cnt;
	bool from_port = false;
	uint32_t cnt;

	if (datapath_usable(dp) < 0)
		return;
	for (; d < end; d += cnt) {
		const struct qx_datapath *m;

		cnt = 1;
		if (d->lane == QX_LANE_SOCKET && dp->udp) {
			cnt = same_frame_cnt(d, end);
			udp_recv_done(dp->udp, d->frame, cnt);
		} else if (d->lane != QX_LANE_SOCKET &&
			   (m = datapath_member(dp, d->lane - QX_LANE_XDP)) && m->port) {
			port_recv_done(m->port, d->frame);
			from_port = true;
		}
	}
	for (struct qx_datapath *m = dp; from_port && m; m = m->next)
		if (m->port)
			port_recv_publish(m->port);
	batch->datagram_cnt = batch->path_cnt = 0;
	dp->lent = false;
}

/* ---- Sending ---- */

/* The lane is chosen anew for every reservation: neighbours come and go.  Whose interface has
 * a way to the peer, or NULL: the socket. */
static struct qx_datapath *choose_interface(struct qx_datapath *dp,
					    const struct qx_path *path)
{
	for (; dp; dp = dp->next)
		if (dp->port && dp->port_sends && !dp->port_down &&
		    port_can_reach(dp->port, path))
			return dp;
	return NULL;
}

int qx_reserve(struct qx_datapath *dp, const struct qx_path *path, uint32_t len_bytes,
	       struct qx_slot *slots, uint32_t n)
{
	int got, err = datapath_usable(dp);
	struct qx_datapath *via;
	struct qx_path whole;

	if (err < 0)
		return err;
	dp->reserved_cnt = 0;
	if (path->peer.family == QX_UNSPEC && dp->remote.family != QX_UNSPEC) {
		whole = (struct qx_path){.peer = dp->remote, .local = path->local};
		path = &whole;
	}
	if (dp->icmp && path->peer.family != QX_UNSPEC &&
	    len_bytes > icmp_limit(dp->icmp, &path->peer, dp->now_ns))
		return -EMSGSIZE;
	via = choose_interface(dp, path);
	if (!via && !dp->udp)
		return -ENETUNREACH;
	dp->reserved_lane = via ? QX_LANE_XDP : QX_LANE_SOCKET;
	dp->reserved_port = via ? via->port : NULL;
	if (via)
		got = port_reserve(via->port, path, len_bytes, slots, n);
	else
		got = udp_reserve(dp->udp, path, len_bytes, slots, n);
	if (dp->tap)
		dp->reserved_path = *path;
	dp->reserved_cnt = got > 0 ? (uint32_t)got : 0;
	dp->reserved_bytes = len_bytes;
	(via ? via : dp)->starved[dp->reserved_lane] = got == 0 && n > 0;
	return got;
}

/* What ICMP may be about.  One of a reservation is enough, the longest. */
static void note_sent(struct qx_datapath *dp, const struct qx_slot *slots, uint32_t n)
{
	const struct qx_slot *longest = slots;

	/* Slots that were not reserved point nowhere. */
	if (!dp->icmp || n == 0 || n > dp->reserved_cnt)
		return;
	dp->reserved_cnt = 0;
	for (uint32_t i = 1; i < n; i++)
		if (slots[i].len_bytes > longest->len_bytes)
			longest = &slots[i];
	if (longest->len_bytes > 0 && longest->len_bytes <= dp->reserved_bytes)
		icmp_sent(dp->icmp, longest->data, longest->len_bytes);
}

int qx_commit(struct qx_datapath *dp, const struct qx_slot *slots, uint32_t n)
{
	int err = datapath_usable(dp);

	if (err < 0)
		return err;
	note_sent(dp, slots, n);
	if (dp->reserved_lane == QX_LANE_XDP)
		return dp->reserved_port ? port_commit(dp->reserved_port, slots, n) : -EINVAL;
	err = dp->udp ? udp_commit(dp->udp, slots, n) : -EINVAL;
	if (dp->tap && err == 0)
		datapath_tap_sent(dp, slots, n);
	return err;
}

int qx_flush(struct qx_datapath *dp)
{
	bool socket_blocked = false, port_blocked = false;
	int err = datapath_usable(dp);

	if (err < 0)
		return err;
	if (dp->udp) {
		socket_blocked = udp_flush(dp->udp) > 0;
		set_want_write(dp, QX_LANE_SOCKET, socket_blocked);
	}
	for (struct qx_datapath *m = dp; m; m = m->next)
		if (m->port && !m->port_down) {
			bool blocked = port_flush(m->port) > 0 || m->starved[QX_LANE_XDP];

			set_want_write(m, QX_LANE_XDP, blocked);
			port_blocked |= blocked;
		}
	return socket_blocked || port_blocked;
}

/* A datagram that can never be sent. */
static void refuse(struct qx_datapath *dp, int code, const struct qx_path *path)
{
	const struct qx_addr *peer = path->peer.family ? &path->peer : &dp->remote;

	dp->drop[code == EMSGSIZE ? QX_DROP_OVERLONG : QX_DROP_SEND_ERROR]++;
	errors_push(&dp->errors, code, peer);
}

/* How many items go into one reservation: one path, one size, or shorter at the end. */
static uint32_t run_cnt(const struct qx_send_item *items, uint32_t item_cnt)
{
	uint32_t n = 1, max = item_cnt < RUN_MAX ? item_cnt : RUN_MAX;

	while (n < max && items[n].path == items[0].path && items[n].len_bytes > 0 &&
	       items[n - 1].len_bytes == items[0].len_bytes &&
	       items[n].len_bytes <= items[0].len_bytes)
		n++;
	return n;
}

/* Queues up to n items that go into one reservation.  Returns how many were taken. */
static int send_run(struct qx_datapath *dp, const uint8_t *payload,
		    const struct qx_send_item *items, uint32_t n, const struct qx_path *path)
{
	struct qx_slot slots[RUN_MAX];
	int got;

	got = qx_reserve(dp, path, items[0].len_bytes, slots, n);
	for (int i = 0; i < got; i++) {
		memcpy(slots[i].data, payload, items[i].len_bytes);
		payload += items[i].len_bytes;
		slots[i].len_bytes = items[i].len_bytes;
		slots[i].ecn = items[i].ecn;
		slots[i].empty = items[i].len_bytes == 0;
	}
	if (got > 0)
		qx_commit(dp, slots, (uint32_t)got);
	return got;
}

int qx_send(struct qx_datapath *dp, const uint8_t *payload, const struct qx_send_item *items,
	    uint32_t item_cnt, const struct qx_path *paths, uint32_t path_cnt)
{
	uint32_t done = 0, n;
	int got, err = datapath_usable(dp);

	if (err < 0)
		return err;
	while (done < item_cnt) {
		if (items[done].path >= path_cnt) {
			err = -EINVAL;
			break;
		}
		n = run_cnt(items + done, item_cnt - done);
		got = send_run(dp, payload, items + done, n, &paths[items[done].path]);
		if (got == 0) {
			/* Full of what this call queued?  Then a flush makes room. */
			qx_flush(dp);
			got = send_run(dp, payload, items + done, n,
				       &paths[items[done].path]);
		}
		if (got == 0)
			break;
		if (got < 0) {
			refuse(dp, -got, &paths[items[done].path]);
			got = 1;
		}
		for (; got > 0; got--)
			payload += items[done++].len_bytes;
	}
	qx_flush(dp);
	return done > 0 ? (int)done : err;
}
