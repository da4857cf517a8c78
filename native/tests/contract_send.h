/* contract_send.h: the part of the contract about reservations, full rings and batches; used
 * by contract.c. */
#ifndef QX_CONTRACT_SEND_H
#define QX_CONTRACT_SEND_H

#include "contract_io.h"

/* Filling, giving back, filling in part, several reservations before one flush. */
static void reserve_commit_flush_sends_what_was_written(void)
{
	const struct message a = {.len_bytes = 1200, .seed = 1};
	const struct message b = {.len_bytes = 10, .seed = 2};
	const struct message c = {.len_bytes = 0, .seed = 3};
	const struct message *const want[] = {&a, &b, &c, &a};
	struct qx_slot slots[4];
	struct qx_path there;
	uint32_t got = 0;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	T_EQ(qx_reserve(CLIENT, &there, 1200, slots, 0), 0);
	T_EQ(qx_reserve(CLIENT, &there, 1200, slots, 4), 4);
	for (int i = 0; i < 4; i++) {
		T_CHECK(slots[i].len_bytes >= 1200);
		T_EQ(slots[i].ecn, QX_ECN_NOT_ECT);
		T_EQ(slots[i].empty, 0);
		slots[i].len_bytes = 0;
	}
	write_message(slots[0].data, &a);
	slots[0].len_bytes = 1200;
	write_message(slots[2].data, &b);
	slots[2].len_bytes = 10;
	slots[3].empty = 1;
	T_EQ(qx_commit(CLIENT, slots, 4), 0);
	check_census(CLIENT);
	T_EQ(qx_reserve(CLIENT, &there, 1200, slots, 1), 1);
	write_message(slots[0].data, &a);
	slots[0].len_bytes = 1200;
	T_EQ(qx_commit(CLIENT, slots, 1), 0);
	T_EQ(qx_flush(CLIENT), 0);
	T_EQ(qx_flush(CLIENT), 0);
	check_census(CLIENT);
	for (int i = 0; got < 4 && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		pump();
		receive(pair.hub);
		for (uint32_t k = 0; k < batch.datagram_cnt; k++) {
			T_CHECK(got < 4);
			check_datagram(&batch.datagrams[k], want[got++], &any);
		}
		done(pair.hub);
	}
	T_EQ(got, 4);
	pump();
	idle_turn(pair.hub);
	idle_turn(CLIENT);
	T_EQ(stats_of(CLIENT).frames[QX_FRAME_BUILT], 0);
}

/* A reservation that is given back costs nothing, however often. */
static void reservations_given_back_are_not_used_up(void)
{
	struct qx_slot slots[QX_BATCH_MAX];
	struct qx_path there;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	for (int round = 0; round < 200; round++) {
		int n = qx_reserve(CLIENT, &there, 1200, slots, QX_BATCH_MAX);

		T_CHECK(n > 0);
		for (int i = 0; i < n; i++)
			slots[i].len_bytes = 0;
		T_EQ(qx_commit(CLIENT, slots, (uint32_t)n), 0);
		T_EQ(qx_flush(CLIENT), 0);
		check_census(CLIENT);
	}
	pump();
	idle_turn(pair.hub);
}

/* qx_send is a shorthand: both ways of sending put the same bytes on the wire. */
static void qx_send_equals_reserve_and_commit(void)
{
	struct message m[] = {{.len_bytes = 900, .seed = 1, .ecn = QX_ECN_ECT0},
			      {.len_bytes = 900, .seed = 2, .ecn = QX_ECN_ECT0},
			      {.len_bytes = 33, .seed = 3, .ecn = QX_ECN_CE}};
	struct expectation strict;
	struct qx_slot slots[3];
	struct qx_path there;
	uint32_t got = 0;

	open_pair((struct contract_options){0});
	strict = (struct expectation){
		.ecn = true, .lane = true, .peer = CLIENT_ADDR, .local = HUB_ADDR};
	there = path_to(HUB_ADDR);
	T_EQ(qx_reserve(CLIENT, &there, 900, slots, 3), 3);
	for (int i = 0; i < 3; i++) {
		write_message(slots[i].data, &m[i]);
		slots[i].len_bytes = m[i].len_bytes;
		slots[i].ecn = m[i].ecn;
	}
	T_EQ(qx_commit(CLIENT, slots, 3), 0);
	T_EQ(qx_flush(CLIENT), 0);
	T_EQ(send_some(CLIENT, &there, m, 3), 3);
	for (int i = 0; got < 6 && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		pump();
		receive(pair.hub);
		for (uint32_t k = 0; k < batch.datagram_cnt; k++)
			check_datagram(&batch.datagrams[k], &m[got++ % 3], &strict);
		done(pair.hub);
	}
	T_EQ(got, 6);
}

/* A sender that outruns the link is told so, keeps every frame, and works again after. */
static void sending_more_than_fits_loses_no_frame(void)
{
	enum {
		N = 4000
	};
	static struct message m[N];
	const struct message after[] = {{.len_bytes = 77, .seed = 77}};
	struct qx_path there;
	uint32_t taken = 0, quiet = 0;

	fill_messages(m, N, 1000);
	open_pair((struct contract_options){.rx_frame_cnt = 512, .tx_frame_cnt = 256});
	there = path_to(HUB_ADDR);
	for (int i = 0; i < 100 && taken < N; i++) {
		uint32_t n = send_some(CLIENT, &there, m + taken, N - taken);

		taken += n;
		T_CHECK(qx_flush(CLIENT) >= 0);
		check_census(CLIENT);
		if (n == 0)
			break;
	}
	T_CHECK(taken >= 256);
	/* Whatever was taken leaves; the reader sees a prefix-ordered part of it. */
	for (int i = 0; quiet < 20 && i < 10 * ROUNDS_WITHOUT_PROGRESS; i++) {
		int waits = qx_flush(CLIENT);

		T_CHECK(waits >= 0);
		pump();
		/* A slow NIC takes pauses: while something waits, this is one. */
		quiet = receive(pair.hub) || waits ? 0 : quiet + 1;
		done(pair.hub);
		idle_turn(CLIENT);
	}
	T_EQ(qx_flush(CLIENT), 0);
	T_EQ(stats_of(CLIENT).frames[QX_FRAME_TX], 0);
	T_EQ(stats_of(CLIENT).frames[QX_FRAME_BUILT], 0);
	converse(CLIENT, &there, pair.hub, after, 1, &any);
}

/* A full batch is not the end: a reader that calls again gets the rest, in order. */
static void more_than_a_batch_is_handed_out_in_several(void)
{
	enum {
		N = QX_BATCH_MAX + 44
	};
	static struct message m[N];
	struct qx_path there;
	uint32_t sent = 0, got = 0;

	fill_messages(m, N, 16);
	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	for (int i = 0; sent < N && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		sent += send_some(CLIENT, &there, m + sent,
				  N - sent < BURST_DATAGRAMS ? N - sent : BURST_DATAGRAMS);
		pump();
		idle_turn(CLIENT);
	}
	T_EQ(sent, N);
	for (int i = 0; got < N && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		receive(pair.hub);
		for (uint32_t k = 0; k < batch.datagram_cnt; k++)
			check_datagram(&batch.datagrams[k], &m[got++], &any);
		done(pair.hub);
		pump();
	}
	T_EQ(got, N);
}

#endif
