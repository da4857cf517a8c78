/* engine_load.c: what a packet costs the engine in memory, and what the AEAD alone would.
 *
 *      engine_load conn|nic [packets=100000] [window=64]
 *
 * Two connections, each of an engine of its own, exchange datagrams of DATAGRAM_BYTES; one
 * stream carries data one way.  A round moves `window` packets (conn) or at least so many
 * (nic) and brings back what acknowledges them, on virtual time, so nothing waits and
 * nothing is lost.  After each round as many packets of the same size, in a buffer of the
 * same size, are sealed and opened by nothing but libcrypto with a reused context: both see
 * the same machine.
 *
 *      conn       the engine alone: qx_conn_send and, one packet a turn, qx_conn_receive
 *      nic        whole turns over two ends of the simulated NIC: qx_engine_flush and
 *                 qx_engine_receive, so the datapath's share of both is in the figures
 *
 *      send       qx_stream_write and the sending half of a turn, per data packet
 *      receive    the receiving half, the events and giving them back, per data packet
 *      ack_write  what the receiver sends in answer, per data packet
 *      ack        taking that, released buffers included, per acknowledged packet
 *      aead_*     the AEAD alone (bare_aead.h), per packet
 *      datapath_* nic: qx_reserve to qx_flush, and qx_recv to qx_recv_done, of packets of
 *                 that size between two more endpoints of the same NICs, per packet
 *
 * Time is the thread's CPU time less what reading that clock costs.  During the first
 * WARM_ROUNDS all that arrives is compared; then it is only counted. */
#include "bare_aead.h"
#include "engine_costs.h"
#include "load.h"
#include "quicxdp_engine.h"

enum {
	PIECE_BYTES = 32 << 10, /* of one write */
	SOURCE_BYTES = 32 * PIECE_BYTES,
	STREAM = 1, /* the server's first */
	WINDOW_MAX = 1024,
	WARM_ROUNDS = 64,
	ROUND_NS = 1000000, /* the RTT, on virtual time */
	ENGINE_PORT = 4433,
	BARE_PORT = 4434,
	BARE_BATCH = 16, /* as many as a visit of qx_engine_flush reserves */
	QUIC_VERSION_1 = 1
};

static const uint64_t window_bytes = 16 << 20;

/* ---- Two ends ---- */

struct end {
	struct qx_datapath *dp; /* nic only */
	struct qx_engine *engine;
	struct qx_conn *conn;
	uint64_t written, received; /* stream bytes */
	uint64_t tokens, released;  /* buffers lent to the engine, and given back */
};

static struct end sender, receiver;
static struct qx_link *wire; /* nic only */
static uint8_t source[SOURCE_BYTES];
static uint8_t buffer[WINDOW_MAX * DATAGRAM_BYTES];
static uint32_t lens[WINDOW_MAX];
static bool comparing = true;

static void check(int rc, const char *what)
{
	if (rc < 0)
		die(what, -rc);
}

static void set_secret(struct end *e, uint32_t sending, uint8_t fill)
{
	uint8_t secret[32];

	memset(secret, fill, sizeof secret);
	check(qx_conn_set_secret(e->conn, QX_EPOCH_ONE_RTT, sending, QX_AES_128_GCM_SHA256,
				 QUIC_VERSION_1, secret, sizeof secret),
	      "qx_conn_set_secret");
}

static struct qx_addr address_of(bool is_client, uint16_t port)
{
	return (struct qx_addr){
		.ip = {192, 0, 2, 1 + is_client}, .port = port, .family = QX_IPV4};
}

static void open_nic(struct qx_datapath **dp, bool is_client, uint16_t port)
{
	const struct qx_config cfg = {.local = address_of(is_client, port), .socket_fd = -1};
	char why[QX_WHY_BYTES] = "";
	const int err = qx_open_memory(dp, wire, is_client, &cfg, why);

	if (err < 0)
		die(*why ? why : "qx_open_memory", -err);
}

static void open_end(struct end *e, bool is_client)
{
	const struct qx_conn_config cfg = {.id = 1,
					   .is_client = is_client,
					   .cid_len_bytes = CID_BYTES,
					   .max_datagram_bytes = DATAGRAM_BYTES,
					   .max_data_bytes = window_bytes,
					   .max_stream_data_bytes = window_bytes,
					   .max_streams_bidi = 128,
					   .max_streams_uni = 128,
					   .ack_delay_ns = 25000000};
	const struct qx_peer_limits limits = {.max_data = window_bytes,
					      .max_stream_data_bidi_local = window_bytes,
					      .max_stream_data_bidi_remote = window_bytes,
					      .max_stream_data_uni = window_bytes,
					      .max_streams_bidi = 128,
					      .max_streams_uni = 128,
					      .max_ack_delay_ns = 25000000,
					      .ack_delay_exponent = 3,
					      .max_udp_payload_bytes = DATAGRAM_BYTES};
	const struct qx_path path = {.peer = address_of(!is_client, ENGINE_PORT)};
	const uint8_t ours[CID_BYTES] = {is_client}, theirs[CID_BYTES] = {!is_client};

	if (wire)
		open_nic(&e->dp, is_client, ENGINE_PORT);
	check(qx_engine_open(&e->engine, e->dp, CID_BYTES), "qx_engine_open");
	check(qx_conn_open(&e->conn, e->engine, &cfg), "qx_conn_open");
	check(qx_conn_add_cid(e->conn, ours, sizeof ours), "qx_conn_add_cid");
	check(qx_conn_set_peer_cid(e->conn, theirs, sizeof theirs), "qx_conn_set_peer_cid");
	qx_conn_set_host_cid(e->conn, ours, sizeof ours);
	qx_conn_set_peer_limits(e->conn, &limits);
	qx_conn_set_path(e->conn, &path);
	set_secret(e, 0, is_client ? 's' : 'c');
	set_secret(e, 1, is_client ? 'c' : 's');
	qx_conn_set_complete(e->conn, 0);
	qx_conn_set_confirmed(e->conn, window_bytes / 4, 0);
}

static void close_end(struct end *e)
{
	qx_conn_close(e->conn);
	qx_engine_close(e->engine);
	qx_close(e->dp);
}

/* ---- The application of either end ---- */

/* The byte at offset n of the stream is source[n % SOURCE_BYTES]. */
static void take_data(struct end *e, const struct qx_event *ev)
{
	for (uint32_t done = 0; comparing && done < ev->len_bytes;) {
		const uint64_t at = (e->received + done) % SOURCE_BYTES;
		uint64_t n = ev->len_bytes - done;

		if (n > SOURCE_BYTES - at)
			n = SOURCE_BYTES - at;
		if (memcmp(ev->data + done, source + at, n))
			die("other bytes arrived than were sent", EBADMSG);
		done += (uint32_t)n;
	}
	e->received += ev->len_bytes;
}

static void take_events(struct end *e)
{
	const struct qx_event *events;
	const struct qx_path *paths;
	const uint32_t cnt = qx_engine_events(e->engine, &events, &paths);

	for (uint32_t i = 0; i < cnt; i++)
		switch (events[i].type) {
		case QX_EV_STREAM_DATA:
			take_data(e, &events[i]);
			break;
		case QX_EV_RELEASED:
			e->released++;
			break;
		case QX_EV_FIRST_ACK:
			break;
		default:
			fprintf(stderr, "event %u: ", events[i].type);
			die("nothing of the kind was to happen", EPROTO);
		}
	qx_engine_events_done(e->engine);
}

/* The stream always has a window's worth to send. */
static void write_ahead(struct end *e, uint32_t window)
{
	while (qx_stream_buffered(e->conn, STREAM) < (uint64_t)window * DATAGRAM_BYTES) {
		check(qx_stream_write(e->conn, STREAM, source + e->written % SOURCE_BYTES,
				      PIECE_BYTES, 0, ++e->tokens),
		      "qx_stream_write");
		e->written += PIECE_BYTES;
	}
}

/* ---- Turns ---- */

static uint32_t under_way; /* conn only: datagrams in the buffer */

static void send_turn(struct end *e, uint64_t now, uint32_t max)
{
	int n;

	if (wire) {
		check(qx_engine_flush(e->engine, now), "qx_engine_flush");
		return;
	}
	n = qx_conn_send(e->conn, now, buffer, sizeof buffer, lens, max);
	check(n, "qx_conn_send");
	under_way = (uint32_t)n;
}

static void receive_batches(struct end *e, uint64_t now)
{
	int n;

	do {
		n = qx_engine_receive(e->engine, now);
		check(n, "qx_engine_receive");
		take_events(e);
	} while (n == QX_BATCH_MAX);
}

static void receive_turn(struct end *e, uint64_t now)
{
	uint8_t *at = buffer;

	if (wire) {
		receive_batches(e, now);
		return;
	}
	for (uint32_t i = 0; i < under_way; at += lens[i++]) {
		if (qx_conn_receive(e->conn, QX_EPOCH_ONE_RTT, at, lens[i], 1 + CID_BYTES,
				    QX_ECN_NOT_ECT, now) != 1)
			die("qx_conn_receive left something over", EPROTO);
		take_events(e);
	}
}

/* ---- The datapath alone ---- */

static struct qx_datapath *bare[2]; /* sends, receives */

/* A payload is as warm as one that has just been sealed. */
static void send_bare(uint32_t cnt)
{
	static struct qx_slot slots[WINDOW_MAX];
	const struct qx_path path = {.peer = address_of(true, BARE_PORT)};
	int n;

	lap_start();
	n = qx_reserve(bare[0], &path, DATAGRAM_BYTES, slots, cnt);
	lap(DP_SEND);
	if (n != (int)cnt)
		die("qx_reserve", ENOBUFS);
	for (uint32_t i = 0; i < cnt; i++)
		memset(slots[i].data, (int)i, DATAGRAM_BYTES);
	lap_start();
	check(qx_commit(bare[0], slots, cnt), "qx_commit");
	check(qx_flush(bare[0]), "qx_flush");
	lap(DP_SEND);
}

static void round_of_datapath(uint32_t window, uint64_t now)
{
	static struct qx_batch batch;
	uint32_t left = window;

	while (left) {
		const uint32_t cnt = left < BARE_BATCH ? left : BARE_BATCH;

		send_bare(cnt);
		left -= cnt;
	}
	qx_link_advance(wire, now);
	lap_start();
	for (int n; left < window; left += (uint32_t)n) {
		n = qx_recv(bare[1], &batch, now);
		if (n <= 0)
			die("qx_recv", n < 0 ? -n : ETIMEDOUT);
		qx_recv_done(bare[1], &batch);
	}
	lap(DP_RECEIVE);
}

/* ---- Rounds ---- */

/* How many packets the sender has sent since the last call; nearly all must be full. */
static uint32_t sent_since(void)
{
	static uint64_t packets_before, bytes_before;
	struct qx_conn_stats s;
	uint64_t packets, bytes;

	qx_conn_get_stats(sender.conn, &s);
	packets = s.tx_packets - packets_before;
	bytes = s.tx_bytes - bytes_before;
	if (!packets)
		die("the sender has stopped", ETIMEDOUT);
	if (packets > WINDOW_MAX || bytes + DATAGRAM_BYTES < packets * DATAGRAM_BYTES)
		die("more than one packet of a turn was not full", EMSGSIZE);
	packets_before = s.tx_packets;
	bytes_before = s.tx_bytes;
	return (uint32_t)packets;
}

/* What the wire does is nobody's cost. */
static void carry(uint64_t now)
{
	if (wire)
		qx_link_advance(wire, now);
	lap_start();
}

static uint32_t round_of_engine(uint32_t window, uint64_t now)
{
	uint32_t packets;

	carry(now);
	write_ahead(&sender, window);
	send_turn(&sender, now, window);
	lap(SEND);
	packets = sent_since();
	now += ROUND_NS / 2;
	carry(now);
	receive_turn(&receiver, now);
	lap(RECEIVE);
	send_turn(&receiver, now, window);
	lap(ACK_WRITE);
	now += ROUND_NS / 2;
	carry(now);
	receive_turn(&sender, now);
	lap(ACK);
	return packets;
}

static void check_outcome(uint64_t packets)
{
	struct qx_conn_stats s;

	qx_conn_get_stats(sender.conn, &s);
	if (s.lost_packets || s.tx_packets < packets || s.acked_packets < packets)
		die("packets were lost", EPROTO);
	if (receiver.received != sender.written - qx_stream_buffered(sender.conn, STREAM))
		die("not all that was sent has arrived", EPROTO);
	if (sender.released + 2 < receiver.received / PIECE_BYTES)
		die("buffers were not given back", EPROTO);
}

static void print_cost(const char *name, enum step step, uint64_t packets, const char *end)
{
	const double ns = (double)costs[step].ns / (double)packets;

	printf("\"%s_ns\": %.2f, \"%s_allocations\": %" PRIu64 "%s", name, ns, name,
	       costs[step].allocations, end);
}

static void run(const struct args *a)
{
	uint64_t packets = 0, all_packets = 0, now = ROUND_NS;

	for (uint32_t i = 0; i <= WARM_ROUNDS || packets < a->packets;
	     i++, now += 2 * ROUND_NS) {
		uint32_t cnt;

		if (i == WARM_ROUNDS) {
			memset(costs, 0, sizeof costs);
			packets = 0;
			comparing = false;
		}
		cnt = round_of_engine(a->window, now);
		packets += cnt;
		all_packets += cnt;
		round_of_aead(buffer, cnt);
		if (wire)
			round_of_datapath(cnt, now + ROUND_NS);
	}
	check_outcome(all_packets);
	printf("{\"packets\": %" PRIu64 ", \"window\": %u, \"datagram_bytes\": %d, ", packets,
	       a->window, DATAGRAM_BYTES);
	print_cost("send", SEND, packets, ", ");
	print_cost("receive", RECEIVE, packets, ", ");
	print_cost("ack_write", ACK_WRITE, packets, ", ");
	print_cost("ack", ACK, packets, ", ");
	print_cost("aead_seal", SEAL, packets, ", ");
	print_cost("aead_open", OPEN, packets, ", ");
	if (wire) {
		print_cost("datapath_send", DP_SEND, packets, ", ");
		print_cost("datapath_receive", DP_RECEIVE, packets, ", ");
	}
	printf("\"openssl\": \"%s\"}\n", OpenSSL_version(OPENSSL_VERSION));
}

int main(int argc, char **argv)
{
	struct args a;

	if (!CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free))
		die("CRYPTO_set_mem_functions", EINVAL);
	parse_args(&a, argc, argv);
	if (!a.packets)
		a.packets = 100000;
	if ((strcmp(a.role, "conn") && strcmp(a.role, "nic")) || !a.window ||
	    a.window > WINDOW_MAX / 2)
		die("usage: engine_load conn|nic [packets=] [window=]", EINVAL);
	if (!strcmp(a.role, "nic"))
		check(qx_link_open(&wire, &(struct qx_link_config){.mtu_bytes = 1500}),
		      "qx_link_open");
	for (uint32_t i = 0; i < SOURCE_BYTES; i++)
		source[i] = (uint8_t)(i * 7 + i / 251);
	calibrate();
	open_aead();
	open_end(&sender, false);
	open_end(&receiver, true);
	for (int i = 0; wire && i < 2; i++)
		open_nic(&bare[i], i, BARE_PORT);
	run(&a);
	for (int i = 0; i < 2; i++)
		qx_close(bare[i]);
	close_end(&receiver);
	close_end(&sender);
	if (wire)
		qx_link_close(wire);
	close_aead();
	return 0;
}
