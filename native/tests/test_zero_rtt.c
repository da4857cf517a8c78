/* test_zero_rtt.c: 0-RTT packets that are accepted, lost and rejected (RFC 9001 section 4.6,
 * RFC 9000 section 7.4.1). */
#include <errno.h>

#include "frame.h"
#include "pair.h"

static void give_one_rtt_keys(void)
{
	for (uint32_t s = 0; s < 2; s++) {
		pair_set_secret(s, QX_EPOCH_ONE_RTT, 0);
		pair_set_secret(s, QX_EPOCH_ONE_RTT, 1);
		pair_confirm(s);
	}
}

static void zero_rtt_then_one_rtt(void)
{
	pair_open(NULL);
	pair_set_secret(CLIENT, QX_EPOCH_ZERO_RTT, 1);
	pair_set_secret(SERVER, QX_EPOCH_ZERO_RTT, 0);
	pair_write(CLIENT, 0, 0, 3000, false, true);
	pair_run(50 * MS_NS);
	T_EQ(pair_stream(SERVER, 0)->bytes, 3000);
	T_CHECK(sides[CLIENT].packets >= 3);
	for (uint32_t s = 0; s < 2; s++) {
		pair_set_secret(s, QX_EPOCH_ONE_RTT, 0);
		pair_set_secret(s, QX_EPOCH_ONE_RTT, 1);
		pair_confirm(s);
	}
	T_CHECK(!qx_conn_has_keys(sides[CLIENT].c, QX_EPOCH_ZERO_RTT, 1));
	pair_write(CLIENT, 0, 3000, 3000, true, true);
	pair_run(S_NS);
	check_received(SERVER, 0, 6000);
	/* The server forgets 0-RTT keys with the first 1-RTT packet. */
	T_CHECK(!qx_conn_has_keys(sides[SERVER].c, QX_EPOCH_ZERO_RTT, 0));
	pair_check_quiet();
	pair_end();
}

/* Rejected, or a Retry: what the server has not seen is sent again at once, and the numbers
 * go on (RFC 9000 section 17.2.5.3). */
static void lost_zero_rtt_data_is_sent_again(void)
{
	pair_open(NULL);
	pair_set_secret(CLIENT, QX_EPOCH_ZERO_RTT, 1);
	pair_write(CLIENT, 0, 0, 3000, true, true);
	net.cut[CLIENT] = true;
	pair_run(50 * MS_NS);
	T_EQ(sides[CLIENT].packets, 3);
	net.cut[CLIENT] = false;
	for (uint32_t s = 0; s < 2; s++) {
		pair_set_secret(s, QX_EPOCH_ONE_RTT, 0);
		pair_set_secret(s, QX_EPOCH_ONE_RTT, 1);
		pair_confirm(s);
	}
	qx_conn_lose_zero_rtt(sides[CLIENT].c, now_ns);
	pair_run(20 * MS_NS);
	check_received(SERVER, 0, 3000);
	pair_run(S_NS);
	pair_check_quiet();
	pair_end();
}

/* ---- Rejected ---- */

/* The server's limits are such, and the client remembers larger ones. */
static struct qx_peer_limits open_small(struct qx_conn_config *cfg)
{
	const struct qx_conn_config roomy = pair_config(SERVER);
	const struct qx_peer_limits remembered = pair_limits(&roomy);

	pair_open(cfg);
	qx_conn_set_peer_limits(sides[CLIENT].c, &remembered);
	pair_set_secret(CLIENT, QX_EPOCH_ZERO_RTT, 1);
	return pair_limits(cfg);
}

/* The new limits are lower than what was sent, of a stream, of all and of how many. */
static void rejected_data_goes_again_within_the_new_limits(void)
{
	struct qx_conn_config cfg = pair_config(SERVER);
	struct qx_peer_limits limits;

	cfg.max_data_bytes = 2000;
	cfg.max_stream_data_bytes = 1000;
	cfg.max_streams_bidi = 1;
	cfg.max_datagram_frame_bytes = 0;
	limits = open_small(&cfg);
	pair_write(CLIENT, 4, 0, 500, true, true);
	pair_write(CLIENT, 0, 0, 3000, true, true);
	pair_write(CLIENT, 2, 0, 700, false, false);
	T_EQ(qx_conn_send_datagram(sides[CLIENT].c, pattern, 10), 0);
	pair_flush(CLIENT);
	T_EQ(qx_stream_reset(sides[CLIENT].c, 2, 9), 0);
	pair_flush(CLIENT);
	net_empty();
	T_CHECK(sides[CLIENT].packets >= 4);
	T_EQ(pair_stats(CLIENT).unsent_bytes, 0);

	T_EQ(qx_conn_send_datagram(sides[CLIENT].c, pattern, 10), 0);
	T_EQ(qx_conn_reject_zero_rtt(sides[CLIENT].c, &limits, now_ns), 0);
	T_CHECK(!qx_conn_has_keys(sides[CLIENT].c, QX_EPOCH_ZERO_RTT, 1));
	T_EQ(sides[CLIENT].c->streams.sent_data, 0);
	T_EQ(pair_stats(CLIENT).unsent_bytes, 3500);
	T_EQ(pair_stats(CLIENT).in_flight_bytes, 0);
	pair_flush(CLIENT); /* there are no keys */
	T_EQ(net.cnt, 0);
	give_one_rtt_keys();
	pair_flush(CLIENT);
	T_CHECK(sides[CLIENT].c->streams.sent_data == 1000);
	pair_run(S_NS);
	check_received(SERVER, 0, 3000);
	T_EQ(pair_stream(SERVER, 2)->bytes, 0);
	T_EQ(pair_stream(SERVER, 2)->reset_code, 9);
	T_EQ(sides[SERVER].datagrams, 0);
	/* The second stream had to wait for the end of the first. */
	T_EQ(pair_stream(SERVER, 4)->bytes, 0);
	T_EQ(qx_stream_write(sides[SERVER].c, 0, NULL, 0, 1, 0), 0);
	pair_run(S_NS);
	check_received(SERVER, 4, 500);
	pair_check_quiet();
	pair_end();
}

static void once_there_are_keys_nothing_is_rejected(void)
{
	struct qx_conn_config cfg = pair_config(SERVER);
	const struct qx_peer_limits limits = open_small(&cfg);

	pair_write(CLIENT, 0, 0, 3000, true, true);
	pair_flush(CLIENT);
	give_one_rtt_keys();
	T_EQ(qx_conn_reject_zero_rtt(sides[CLIENT].c, &limits, now_ns), -EINVAL);
	qx_conn_lose_zero_rtt(sides[CLIENT].c, now_ns);
	pair_set_secret(SERVER, QX_EPOCH_ZERO_RTT, 0);
	pair_run(S_NS);
	check_received(SERVER, 0, 3000);
	pair_check_quiet();
	pair_end();
}

/* What it said it had not read, it cannot have received (RFC 9001 section 4.6.2). */
static void an_ack_of_rejected_packets_is_an_error(void)
{
	struct qx_conn_config cfg = pair_config(SERVER);
	struct qx_peer_limits limits = open_small(&cfg);

	pair_write(CLIENT, 0, 0, 3000, false, true);
	pair_flush(CLIENT);
	net_empty();
	T_EQ(sides[CLIENT].packets, 3);
	T_EQ(qx_conn_reject_zero_rtt(sides[CLIENT].c, &limits, now_ns), 0);
	give_one_rtt_keys();
	pair_flush(CLIENT);
	T_EQ(pair_inject(CLIENT, BYTES(FRAME_ACK, 4, 0, 0, 1)), 1);
	T_EQ(sides[CLIENT].error[0], 0);
	T_EQ(pair_inject(CLIENT, BYTES(FRAME_ACK, 4, 0, 1, 0, 0, 0)), 0);
	T_EQ(sides[CLIENT].error_code, ERR_PROTOCOL_VIOLATION);
	pair_end();
}

/* What a packet in the making holds, which aioquic has not taken or accounted for yet. */
static void a_draft_is_rejected_too(void)
{
	struct qx_conn_config cfg = pair_config(SERVER);
	uint8_t header[64] = {0xd1}, payload[1200], out[1300];

	for (uint32_t seal = 0; seal < 2; seal++) {
		const struct qx_peer_limits limits = open_small(&cfg);
		uint32_t flags;
		uint64_t pn;
		int n;

		pair_write(CLIENT, 0, 0, 1000, true, true);
		n = qx_conn_fill(sides[CLIENT].c, now_ns, sizeof(payload), payload, &flags);
		T_CHECK(n > 1000);
		if (seal)
			T_CHECK(qx_conn_seal_foreign(sides[CLIENT].c, header, 30, payload,
						     (uint32_t)n, out, &pn) > 0);
		T_EQ(qx_conn_reject_zero_rtt(sides[CLIENT].c, &limits, now_ns), 0);
		if (seal)
			T_EQ(qx_conn_adopt(sides[CLIENT].c, 1000, flags, 0, now_ns), 0);
		give_one_rtt_keys();
		pair_run(S_NS);
		check_received(SERVER, 0, 1000);
		pair_end();
	}
}

/* ---- Accepted ---- */

/* The remembered limits hold the client back; the new ones let it go on. */
static void accepted_data_goes_on_within_higher_limits(void)
{
	struct qx_conn_config cfg = pair_config(SERVER);
	const struct qx_peer_limits now = pair_limits(&cfg);
	struct qx_peer_limits remembered = {
		.max_data = 1500, .max_stream_data_bidi_remote = 1000, .max_streams_bidi = 1};

	pair_open(NULL);
	streams_begin_again(&sides[CLIENT].c->streams);
	qx_conn_set_peer_limits(sides[CLIENT].c, &remembered);
	pair_set_secret(CLIENT, QX_EPOCH_ZERO_RTT, 1);
	pair_set_secret(SERVER, QX_EPOCH_ZERO_RTT, 0);
	pair_write(CLIENT, 0, 0, 5000, true, true);
	pair_write(CLIENT, 4, 0, 5000, true, true);
	pair_run(50 * MS_NS);
	T_EQ(pair_stream(SERVER, 0)->bytes, 1000);
	T_EQ(pair_stream(SERVER, 4)->bytes, 0);
	qx_conn_set_peer_limits(sides[CLIENT].c, &now);
	give_one_rtt_keys();
	pair_run(S_NS);
	check_received(SERVER, 0, 5000);
	check_received(SERVER, 4, 5000);
	pair_check_quiet();
	pair_end();
}

/* ---- Anything ---- */

static uint64_t seed;

static uint64_t up_to(uint64_t most)
{
	return t_random(&seed) % (most + 1);
}

/* Some streams of either kind get more data; some end or are reset. */
static void write_something(uint64_t *written, bool *over)
{
	for (uint32_t i = 0; i < 8; i++) {
		const uint64_t id = i * 2, len = up_to(3000), what = up_to(9);

		if (over[i] || what > 6)
			continue;
		over[i] = what < 2;
		if (what == 1 && written[i] > 0) {
			T_EQ(qx_stream_reset(sides[CLIENT].c, id, 7), 0);
			continue;
		}
		pair_write(CLIENT, id, written[i], len, over[i], what & 1);
		written[i] += len;
	}
}

static void whatever_was_sent_and_whatever_the_limits_all_arrives(void)
{
	for (uint64_t n = 1; n <= 150; n++) {
		struct qx_conn_config cfg = pair_config(SERVER);
		struct qx_peer_limits limits;
		uint64_t written[8] = {0};
		bool over[8] = {0};

		seed = n;
		cfg.max_data_bytes = 1 + up_to(9000);
		cfg.max_stream_data_bytes = 1 + up_to(4000);
		cfg.max_streams_bidi = 1 + up_to(4);
		cfg.max_streams_uni = 1 + up_to(4);
		limits = open_small(&cfg);
		for (uint32_t round = 0; round < 3; round++) {
			write_something(written, over);
			pair_flush(CLIENT);
		}
		net_empty();
		write_something(written, over);
		T_EQ(qx_conn_reject_zero_rtt(sides[CLIENT].c, &limits, now_ns), 0);
		write_something(written, over);
		give_one_rtt_keys();
		net.loss_ppm = n % 2 ? 0 : 50000;
		pair_run(10 * S_NS);
		for (uint32_t i = 0; i < 8; i++)
			if (!over[i])
				pair_write(CLIENT, i * 2, written[i], 0, true, false);
		/* Ends of the server's halves let the client open more streams. */
		for (uint32_t round = 0; round < 6; round++) {
			for (uint32_t i = 0; i < 8; i += 2)
				if (pair_stream(SERVER, i * 2)->fin ||
				    pair_stream(SERVER, i * 2)->reset)
					qx_stream_write(sides[SERVER].c, i * 2, NULL, 0, 1,
							0);
			pair_run(20 * S_NS);
		}
		for (uint32_t i = 0; i < 8; i++) {
			const struct received *r = pair_stream(SERVER, i * 2);

			T_CHECK(r->fin || r->reset);
			T_CHECK(r->reset || r->bytes == written[i]);
		}
		pair_check_quiet();
		pair_end();
	}
}

static const struct t_case cases[] = {
	{"0-RTT, then 1-RTT", zero_rtt_then_one_rtt},
	{"lost 0-RTT data is sent again", lost_zero_rtt_data_is_sent_again},
	{"rejected data goes again within the new limits",
	 rejected_data_goes_again_within_the_new_limits},
	{"once there are keys nothing is rejected", once_there_are_keys_nothing_is_rejected},
	{"an ACK of rejected packets is an error", an_ack_of_rejected_packets_is_an_error},
	{"a draft is rejected too", a_draft_is_rejected_too},
	{"accepted data goes on within higher limits",
	 accepted_data_goes_on_within_higher_limits},
	{"whatever was sent and whatever the limits, all arrives",
	 whatever_was_sent_and_whatever_the_limits_all_arrives},
};

T_MAIN(cases)
