/* test_seam.c: what goes up to aioquic, and what comes down from it. */
#include <errno.h>

#include "frame.h"
#include "pair.h"

/* ---- The way up and down ---- */

static void frames_of_aioquics_go_up_verbatim_and_in_order(void)
{
	static const uint8_t frames[] = {
		FRAME_NEW_TOKEN,
		2,
		0xaa,
		0xbb,
		FRAME_PING,
		FRAME_STREAM | 2,
		0,
		3,
		0,
		7,
		14,
		FRAME_RETIRE_CONNECTION_ID,
		1,
		FRAME_PADDING,
		FRAME_PADDING,
		FRAME_PATH_CHALLENGE,
		1,
		2,
		3,
		4,
		5,
		6,
		7,
		8,
		FRAME_HANDSHAKE_DONE,
	};
	static const uint8_t left[] = {
		FRAME_NEW_TOKEN,
		2,
		0xaa,
		0xbb,
		FRAME_RETIRE_CONNECTION_ID,
		1,
		FRAME_PATH_CHALLENGE,
		1,
		2,
		3,
		4,
		5,
		6,
		7,
		8,
		FRAME_HANDSHAKE_DONE,
	};
	const struct up *up = &sides[SERVER].ups[0];

	pair_start(NULL);
	T_EQ(pair_inject(SERVER, BYTES(FRAME_PING)), 1);
	T_EQ(pair_inject(SERVER, frames, sizeof(frames)), 0);
	T_EQ(sides[SERVER].up_cnt, 1);
	T_EQ(up->pn, 1);
	T_EQ(up->head.largest_before, 0);
	T_EQ(up->head.header_len_bytes, 1 + CID_BYTES + 2);
	T_EQ(up->head.frames_len_bytes, sizeof(left));
	T_CHECK(memcmp(up->frames, left, sizeof(left)) == 0);
	T_EQ(up->flags, QX_EV_ELICITING);
	T_EQ(pair_stream(SERVER, 0)->bytes, 3);
	T_EQ(pair_stats(SERVER).up_packets, 1);
	pair_end();
}

static void probing_packets_and_new_connection_ids_are_marked(void)
{
	static const uint8_t other[CID_BYTES] = "another";
	const struct up *up = sides[SERVER].ups;

	pair_start(NULL);
	T_EQ(pair_inject(SERVER, BYTES(FRAME_PATH_CHALLENGE, 1, 2, 3, 4, 5, 6, 7, 8)), 0);
	T_EQ(up[0].flags, QX_EV_ELICITING | QX_EV_PROBING);
	T_EQ(up[0].head.largest_before, UINT64_MAX);
	T_EQ(pair_inject_to(SERVER, other, BYTES(FRAME_PING)), 0);
	T_EQ(up[1].flags, QX_EV_ELICITING | QX_EV_NEW_CID);
	T_EQ(up[1].head.frames_len_bytes, 0);
	T_EQ(pair_inject_to(CLIENT, other, BYTES(FRAME_PING)), 1);
	pair_end();
}

static void drops_go_up_only_to_who_asks(void)
{
	struct qx_conn_config cfg = pair_config(CLIENT);
	uint8_t packet[64] = {0x40}, copy[MTU_MAX];

	for (uint32_t report = 0; report < 2; report++) {
		cfg.flags = report ? QX_CONN_REPORT_DROPS : 0;
		pair_start(&cfg);
		pair_write(CLIENT, 0, 0, 10, false, false);
		pair_flush(CLIENT);
		memcpy(copy, net.wire[0]->bytes, net.wire[0]->len_bytes);
		pair_deliver(SERVER, net.wire[0]->bytes, net.wire[0]->len_bytes);
		T_EQ(pair_deliver(SERVER, copy, net.wire[0]->len_bytes), !report);
		memcpy(packet + 1, pair_cid[SERVER], CID_BYTES);
		T_EQ(pair_deliver(SERVER, packet, sizeof(packet)), !report);
		T_EQ(pair_deliver(SERVER, packet, 10), !report);
		T_EQ(sides[SERVER].up_cnt, report ? 3 : 0);
		if (report) {
			T_EQ(sides[SERVER].ups[0].flags, QX_EV_DUPLICATE);
			T_EQ(sides[SERVER].ups[1].flags, QX_EV_UNDECRYPTABLE);
		}
		T_EQ(pair_stats(SERVER).duplicates, 1);
		T_EQ(pair_stats(SERVER).undecryptable, 2);
		pair_end();
	}
}

static void with_a_budget_every_packet_goes_up(void)
{
	pair_start(NULL);
	qx_conn_set_budget(sides[SERVER].c, 1000);
	T_EQ(pair_inject(SERVER, BYTES(FRAME_PING)), 0);
	T_EQ(sides[SERVER].up_cnt, 1);
	qx_conn_set_budget(sides[SERVER].c, UINT64_MAX);
	T_EQ(pair_inject(SERVER, BYTES(FRAME_PING)), 1);
	pair_end();
}

static void control_frames_report_their_fate(void)
{
	static const uint8_t done[] = {FRAME_HANDSHAKE_DONE};
	const uint32_t flags = QX_CTL_ELICITING | QX_CTL_IN_FLIGHT;

	pair_start(NULL);
	T_EQ(qx_conn_push_control(sides[SERVER].c, done, 1, 5, flags), 0);
	pair_run(S_NS);
	T_EQ(sides[CLIENT].up_cnt, 1);
	T_EQ(sides[CLIENT].ups[0].frames[0], FRAME_HANDSHAKE_DONE);
	T_EQ(sides[SERVER].acked_tokens, 5);
	net.cut[SERVER] = true;
	T_EQ(qx_conn_push_control(sides[SERVER].c, done, 1, 7, flags), 0);
	pair_run(S_NS);
	T_EQ(sides[SERVER].lost_tokens, 7);
	T_EQ(qx_conn_push_control(sides[SERVER].c, done, 0, 7, flags), -EINVAL);
	T_EQ(qx_conn_push_control(sides[SERVER].c, pattern, 2000, 7, flags), -EMSGSIZE);
	pair_end();
}

static void urgent_frames_pass_a_closed_window_and_fill_the_datagram(void)
{
	static const uint8_t challenge[] = {FRAME_PATH_CHALLENGE, 1, 2, 3, 4, 5, 6, 7, 8};
	const uint32_t flags = QX_CTL_ELICITING | QX_CTL_IN_FLIGHT;
	uint64_t packets, bytes;

	pair_start(NULL);
	net.cut[CLIENT] = true;
	pair_write(CLIENT, 0, 0, 200000, false, true);
	pair_flush(CLIENT);
	packets = sides[CLIENT].packets;
	bytes = sides[CLIENT].packet_bytes;
	T_EQ(qx_conn_push_control(sides[CLIENT].c, challenge, sizeof(challenge), 0, flags),
	     0);
	pair_flush(CLIENT);
	T_EQ(sides[CLIENT].packets, packets);
	T_EQ(qx_conn_push_control(sides[CLIENT].c, challenge, sizeof(challenge), 0,
				  flags | QX_CTL_URGENT | QX_CTL_PAD),
	     0);
	net.cut[CLIENT] = false;
	pair_flush(CLIENT);
	T_EQ(sides[CLIENT].packets, packets + 1);
	T_EQ(sides[CLIENT].packet_bytes, bytes + 1350);
	T_EQ(net.wire[0]->len_bytes, 1350);
	pair_run(S_NS);
	T_CHECK(sides[SERVER].up_cnt > 0);
	T_EQ(sides[SERVER].ups[0].flags, QX_EV_ELICITING | QX_EV_PROBING);
	pair_end();
}

static void control_frames_that_cannot_leave_are_bounded(void)
{
	static const uint8_t challenge[] = {FRAME_PATH_RESPONSE, 1, 2, 3, 4, 5, 6, 7, 8};
	int err = 0;

	pair_start(NULL);
	qx_conn_set_budget(sides[SERVER].c, 0);
	for (uint32_t i = 0; i < 20000 && err == 0; i++)
		err = qx_conn_push_control(sides[SERVER].c, challenge, sizeof(challenge), 0,
					   QX_CTL_ELICITING | QX_CTL_URGENT | QX_CTL_PAD);
	T_EQ(err, -ENOBUFS);
	pair_end();
}

static void foreign_packets_share_numbers_and_keys(void)
{
	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 10, false, false);
	pair_flush(CLIENT);
	T_EQ(pair_inject(SERVER, BYTES(FRAME_APPLICATION_CLOSE, 0, 0)), 0);
	T_EQ(sides[SERVER].ups[0].pn, 1);
	pair_write(CLIENT, 0, 10, 10, false, false);
	pair_run(S_NS);
	T_EQ(pair_stream(SERVER, 0)->bytes, 20);
	T_EQ(pair_stats(CLIENT).next_packet_number, 3);
	T_EQ(qx_conn_adopt(sides[CLIENT].c, 100, 0, 0, now_ns), -EINVAL);
	pair_check_quiet();
	pair_end();
}

static void many_unacknowledged_packets_need_longer_numbers(void)
{
	const struct side *client = &sides[CLIENT];
	uint64_t bytes;

	for (uint32_t longer = 0; longer < 3; longer++) {
		pair_start(NULL);
		client->c->recovery.sent.next += longer == 0   ? 32766
						 : longer == 1 ? 32767
							       : 1 << 23;
		client->c->recovery.sent.oldest = client->c->recovery.sent.next;
		pair_write(CLIENT, 0, 0, 10, false, false);
		pair_flush(CLIENT);
		/* first byte, DCID, number, a STREAM frame of 4 + 10 bytes, tag */
		T_EQ(client->packet_bytes, 1 + CID_BYTES + (2 + longer) + 14 + 16);
		bytes = client->packet_bytes;
		T_EQ(pair_inject(SERVER, BYTES(FRAME_PING, FRAME_PING)), 1);
		T_EQ(client->packet_bytes - bytes,
		     1 + CID_BYTES + (longer || client->tap_next_pn >= 32768 ? 4 : 2) + 2 +
			     16);
		pair_run(S_NS);
		T_EQ(pair_stream(SERVER, 0)->bytes, 10);
		T_EQ(pair_stats(SERVER).undecryptable, 0);
		pair_end();
	}
}

/* Many ranges, and nothing to send but ACKs: the peer is asked to acknowledge one. */
static void a_pure_receiver_asks_for_acks_when_they_grow(void)
{
	pair_start(NULL);
	net.loss_ppm = 30000;
	pair_write(CLIENT, 0, 0, 3000000, true, false);
	pair_run(60 * S_NS);
	check_received(SERVER, 0, 3000000);
	T_CHECK(pair_stats(SERVER).lost_packets > 0 || pair_stats(SERVER).acked_packets > 0);
	T_CHECK(sides[SERVER].c->ack.report_from > 100);
	pair_check_quiet();
	pair_end();
}

/* aioquic coalesces a payload of ours behind its Handshake packet. */
static void a_filled_payload_counts_with_its_adoption(void)
{
	uint8_t header[1 + CID_BYTES + 2] = {0x41}, payload[300], out[400];
	uint32_t flags;
	uint64_t pn;
	int n;

	for (uint32_t lost = 0; lost < 2; lost++) {
		pair_open(NULL);
		for (uint32_t s = 0; s < 2; s++) {
			pair_set_secret(s, QX_EPOCH_ONE_RTT, 0);
			pair_set_secret(s, QX_EPOCH_ONE_RTT, 1);
		}
		pair_write(CLIENT, 0, 0, 1000, true, true);
		n = qx_conn_fill(sides[CLIENT].c, now_ns, sizeof(payload), payload, &flags);
		T_EQ(n, sizeof(payload));
		T_EQ(flags, QX_CTL_ELICITING | QX_CTL_IN_FLIGHT);
		/* Not taken: written again into the next. */
		n = qx_conn_fill(sides[CLIENT].c, now_ns, sizeof(payload), payload, &flags);
		T_EQ(n, sizeof(payload));
		memcpy(header + 1, pair_cid[SERVER], CID_BYTES);
		n = qx_conn_seal_foreign(sides[CLIENT].c, header, sizeof(header), payload,
					 (uint32_t)n, out, &pn);
		T_EQ(n, sizeof(header) + sizeof(payload) + 16);
		net.cut[CLIENT] = lost;
		net_send(CLIENT, out, (uint32_t)n);
		net.cut[CLIENT] = false;
		T_EQ(qx_conn_adopt(sides[CLIENT].c, (uint32_t)n, flags, 9, now_ns), 0);
		pair_confirm(CLIENT);
		pair_confirm(SERVER);
		pair_run(5 * S_NS);
		check_received(SERVER, 0, 1000);
		T_EQ(lost ? sides[CLIENT].lost_tokens : sides[CLIENT].acked_tokens, 9);
		pair_check_quiet();
		pair_end();
	}
}

/* Sealed and never adopted, or too many at once: their frames are sent again. */
static void foreign_packets_that_nobody_adopts_are_forgotten(void)
{
	uint8_t header[1 + CID_BYTES + 2] = {0x41}, payload[300], out[400];
	uint32_t flags;
	uint64_t pn;

	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 1000, true, true);
	for (uint32_t i = 0; i < 20; i++) {
		int n = qx_conn_fill(sides[CLIENT].c, now_ns, sizeof(payload), payload,
				     &flags);

		if (n == 0) {
			memset(payload, 0, 10);
			n = 10;
		}
		n = qx_conn_seal_foreign(sides[CLIENT].c, header, sizeof(header), payload,
					 (uint32_t)n, out, &pn);
		T_CHECK(n > 0);
		T_EQ(pn, i);
	}
	pair_run(5 * S_NS);
	for (uint32_t i = 0; i < 8; i++)
		qx_conn_adopt(sides[CLIENT].c, 100, QX_CTL_ELICITING, 0, now_ns);
	pair_run(5 * S_NS);
	check_received(SERVER, 0, 1000);
	pair_end();
}

static const struct t_case cases[] = {
	{"frames of aioquic's go up verbatim and in order",
	 frames_of_aioquics_go_up_verbatim_and_in_order},
	{"probing packets and new connection IDs are marked",
	 probing_packets_and_new_connection_ids_are_marked},
	{"drops go up only to who asks", drops_go_up_only_to_who_asks},
	{"with a budget every packet goes up", with_a_budget_every_packet_goes_up},
	{"control frames report their fate", control_frames_report_their_fate},
	{"urgent frames pass a closed window and fill the datagram",
	 urgent_frames_pass_a_closed_window_and_fill_the_datagram},
	{"control frames that cannot leave are bounded",
	 control_frames_that_cannot_leave_are_bounded},
	{"foreign packets share numbers and keys", foreign_packets_share_numbers_and_keys},
	{"many unacknowledged packets need longer numbers",
	 many_unacknowledged_packets_need_longer_numbers},
	{"a pure receiver asks for ACKs when they grow",
	 a_pure_receiver_asks_for_acks_when_they_grow},
	{"a filled payload counts with its adoption",
	 a_filled_payload_counts_with_its_adoption},
	{"foreign packets that nobody adopts are forgotten",
	 foreign_packets_that_nobody_adopts_are_forgotten},
};

T_MAIN(cases)
