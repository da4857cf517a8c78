/* test_udp.c: the socket lane batches, splits and keeps order. */
#define _GNU_SOURCE
#include "udp_pair.h"

static void open_plain(void)
{
	open_two(loopback4(1, 0), loopback4(1, 0), 0);
}

/* The whole point of the lane: 54 datagrams for the price of one. */
static void equal_datagrams_leave_and_arrive_in_one_call(void)
{
	struct qx_path there;

	open_plain();
	there = path_to(b);
	T_EQ(send_equal(a, &there, 54, 1200, 0), 54);
	T_EQ(lane_of(a).tx_syscalls, 1);
	T_EQ(lane_of(a).tx_packets, 54);
	T_EQ(lane_of(a).tx_bytes, 54 * 1200);
	T_EQ(seam.messages, 1);
	T_EQ(seam.segmented, 1);
	T_EQ(recv_once(b), 54);
	T_EQ(batch.path_cnt, 1);
	T_EQ(lane_of(b).rx_syscalls, 1);
	T_EQ(lane_of(b).rx_packets, 54);
	T_EQ(lane_of(b).rx_bytes, 54 * 1200);
	qx_recv_done(b, &batch);
}

/* The kernel takes 64 segments and 64 KiB at most; what is more goes into the next message
 * of the same call. */
static void a_long_run_becomes_several_messages_of_one_call(void)
{
	struct qx_path there;

	open_plain();
	there = path_to(b);
	T_EQ(send_equal(a, &there, 200, 1200, 0), 200);
	T_EQ(lane_of(a).tx_syscalls, 1);
	T_EQ(seam.messages, 4);
	expect_equal(b, 200, 1200, 0);
	T_EQ(send_equal(a, &there, 200, 10, 200), 200);
	T_EQ(lane_of(a).tx_syscalls, 2);
	T_EQ(seam.messages, 8);
	expect_equal(b, 200, 10, 200);
}

static void fill_and_commit(struct qx_datapath *dp, const struct qx_path *path,
			    uint32_t room_bytes, uint32_t len_bytes, uint8_t ecn,
			    uint8_t byte)
{
	struct qx_slot slot;

	T_EQ(qx_reserve(dp, path, room_bytes, &slot, 1), 1);
	memset(slot.data, byte, len_bytes);
	slot.len_bytes = len_bytes;
	slot.ecn = ecn;
	T_EQ(qx_commit(dp, &slot, 1), 0);
}

/* One UDP_SEGMENT message has one address, one TOS, one size, and ends with a shorter. */
static void only_what_belongs_together_shares_a_message(void)
{
	struct qx_path there, elsewhere;

	open_plain();
	there = path_to(b);
	elsewhere = path_to(a);
	fill_and_commit(a, &there, 100, 100, QX_ECN_ECT0, 0);
	fill_and_commit(a, &there, 100, 100, QX_ECN_ECT0, 1);
	fill_and_commit(a, &there, 100, 100, QX_ECN_CE, 2); /* other codepoint */
	fill_and_commit(a, &there, 101, 101, QX_ECN_CE, 3); /* longer */
	fill_and_commit(a, &there, 101, 101, QX_ECN_CE, 4);
	fill_and_commit(a, &there, 101, 50, QX_ECN_CE, 5);    /* shorter: the last */
	fill_and_commit(a, &there, 50, 50, QX_ECN_CE, 6);     /* so this is the next */
	fill_and_commit(a, &elsewhere, 50, 50, QX_ECN_CE, 7); /* other peer */
	fill_and_commit(a, &there, 50, 50, QX_ECN_CE, 8);
	T_EQ(qx_flush(a), 0);
	T_EQ(seam.messages, 6);
	T_EQ(seam.segmented, 2);
	T_EQ(recv_once(b), 8);
	for (uint8_t i = 0; i < 8; i++)
		T_EQ(batch.datagrams[i].data[49], i + (i == 7));
	T_EQ(batch.datagrams[1].ecn, QX_ECN_ECT0);
	T_EQ(batch.datagrams[2].ecn, QX_ECN_CE);
	T_EQ(batch.datagrams[5].len_bytes, 50);
	qx_recv_done(b, &batch);
	T_EQ(recv_once(a), 1);
	qx_recv_done(a, &batch);
}

/* QUIC packets rarely fill what was reserved for them; they still travel together. */
static void datagrams_shorter_than_their_room_still_share_a_message(void)
{
	struct qx_slot slots[20];
	struct qx_path there;

	open_plain();
	there = path_to(b);
	T_EQ(qx_reserve(a, &there, 1400, slots, 20), 20);
	for (uint8_t i = 0; i < 20; i++) {
		memset(slots[i].data, i, 1200);
		slots[i].len_bytes = 1200;
	}
	T_EQ(qx_commit(a, slots, 20), 0);
	T_EQ(qx_flush(a), 0);
	T_EQ(seam.messages, 1);
	expect_equal(b, 20, 1200, 0);
}

/* A batch has 256 places and a call may bring thousands: the rest costs no further call. */
static void what_does_not_fit_a_batch_is_handed_out_without_a_call(void)
{
	struct qx_path there;

	open_plain();
	there = path_to(b);
	for (int i = 0; i < 10; i++)
		T_EQ(send_equal(a, &there, 64, 16, (uint8_t)(i * 64)), 64);
	for (uint32_t got = 0; got < 640;
	     got += batch.datagram_cnt, qx_recv_done(b, &batch)) {
		T_EQ(recv_once(b), got < 512 ? 256 : 128);
		for (uint32_t i = 0; i < batch.datagram_cnt; i++)
			T_EQ(batch.datagrams[i].data[0], (uint8_t)(got + i));
		if (got < 512)
			T_EQ(lane_of(b).rx_syscalls, 1);
		batch.path_cnt = 0;
	}
}

/* A caller that keeps datagrams too long must not make the lane write over them. */
static void lent_buffers_are_not_written(void)
{
	struct qx_batch *kept = calloc(1, sizeof(*kept));
	struct qx_path there;

	open_plain();
	there = path_to(b);
	T_EQ(send_equal(a, &there, 3, 1000, 1), 3);
	T_CHECK(kept && qx_recv(b, kept, 1) == 3);
	T_EQ(send_equal(a, &there, 3, 1000, 101), 3);
	T_EQ(qx_recv(b, &batch, 1), -EBUSY);
	for (uint8_t i = 0; i < 3; i++)
		T_EQ(kept->datagrams[i].data[999], 1 + i);
	qx_recv_done(b, kept);
	free(kept);
	expect_equal(b, 3, 1000, 101);
}

/* Frame numbers pass through the caller's hands; a wrong one is counted, not obeyed. */
static void a_frame_that_was_not_lent_is_counted(void)
{
	struct qx_path there;

	open_plain();
	there = path_to(b);
	T_EQ(send_equal(a, &there, 2, 100, 1), 2);
	T_EQ(recv_once(b), 2);
	batch.datagrams[1].frame = 64;
	qx_recv_done(b, &batch);
	T_EQ(stats_of(b).drop[QX_DROP_DESCRIPTOR], 1);
	batch.datagrams[0].frame = 5;
	batch.datagram_cnt = 1;
	qx_recv_done(b, &batch);
	T_EQ(stats_of(b).drop[QX_DROP_DESCRIPTOR], 2);
	/* Buffer 0 is lost by that; receiving goes on without it. */
	T_EQ(send_equal(a, &there, 2, 100, 1), 2);
	expect_equal(b, 2, 100, 1);
}

/* A full arena says so instead of growing, and a flush makes room again. */
static void reservations_end_where_the_arena_does(void)
{
	static struct qx_slot slots[QX_BATCH_MAX];
	uint32_t taken = 0;
	struct qx_path there;
	int n;

	open_plain();
	there = path_to(b);
	while ((n = qx_reserve(a, &there, 60000, slots, 4)) > 0) {
		for (int i = 0; i < n; i++)
			slots[i].len_bytes = 60000;
		T_EQ(qx_commit(a, slots, (uint32_t)n), 0);
		taken += (uint32_t)n;
		T_CHECK(taken <= 64);
	}
	T_EQ(n, 0);
	T_CHECK(taken >= 16);
	/* Longer than the interface's MTU: each is refused, and all room is back. */
	T_EQ(qx_flush(a), 0);
	T_EQ(stats_of(a).drop[QX_DROP_OVERLONG], taken);
	T_EQ(qx_reserve(a, &there, 1200, slots, QX_BATCH_MAX), QX_BATCH_MAX);
	T_EQ(qx_commit(a, slots, 0), 0);
}

/* A commit that contradicts its reservation is refused, not believed. */
static void a_commit_of_more_than_was_reserved_is_refused(void)
{
	struct qx_slot slots[3];
	struct qx_path there;

	open_plain();
	there = path_to(b);
	T_EQ(qx_reserve(a, &there, 100, slots, 2), 2);
	T_EQ(qx_commit(a, slots, 3), -EINVAL);
	slots[0].len_bytes = 101;
	T_EQ(qx_commit(a, slots, 2), -EINVAL);
	slots[0].len_bytes = 100;
	T_EQ(qx_commit(a, slots, 2), 0);
	T_EQ(qx_commit(a, slots, 2), -EINVAL);
	T_EQ(qx_flush(a), 0);
	T_EQ(recv_once(b), 2);
	qx_recv_done(b, &batch);
}

/* Takes all that waits; its bytes must count on from next.  Returns where they end. */
static uint8_t check_counting(struct qx_datapath *dp, uint8_t next)
{
	while (recv_once(dp) > 0) {
		for (uint32_t i = 0; i < batch.datagram_cnt; i++) {
			struct qx_datagram *d = &batch.datagrams[i];

			if (d->len_bytes == 0)
				continue;
			T_EQ(d->data[0], next);
			T_EQ(d->data[d->len_bytes - 1], next++);
		}
		qx_recv_done(dp, &batch);
	}
	return next;
}

/* Random sizes, peers, codepoints and rooms: each peer sees its own, whole and in order. */
static void any_mixture_arrives_whole_and_in_order(void)
{
	enum {
		PEERS = 3,
		N = 3000
	};
	struct qx_datapath *peers[PEERS] = {0};
	uint8_t sent[PEERS] = {0}, got[PEERS] = {0};
	struct qx_path paths[PEERS];
	uint64_t state = 20261124;
	struct qx_slot slots[8];

	open_plain();
	for (int p = 0; p < PEERS; p++) {
		peers[p] =
			open_at(loopback4((uint8_t)(1 + p), 0), p == 1 ? QX_CFG_NO_GRO : 0);
		paths[p] = path_to(peers[p]);
	}
	for (int done = 0; done < N;) {
		uint32_t p = (uint32_t)(t_random(&state) % PEERS);
		uint32_t room = 1 + (uint32_t)(t_random(&state) % 1400);
		int n = qx_reserve(a, &paths[p], room, slots,
				   1 + (uint32_t)(t_random(&state) % 8));

		T_CHECK(n > 0);
		for (int i = 0; i < n; i++) {
			uint64_t dice = t_random(&state);

			slots[i].ecn = (dice >> 8) % 8 == 0 ? QX_ECN_ECT1 : QX_ECN_ECT0;
			slots[i].len_bytes =
				dice % 5 == 0 ? (uint32_t)(dice >> 16) % room : room;
			slots[i].empty = slots[i].len_bytes == 0 && dice % 2;
			if (slots[i].len_bytes)
				memset(slots[i].data, sent[p]++, slots[i].len_bytes);
		}
		T_EQ(qx_commit(a, slots, (uint32_t)n), 0);
		done += n;
		if (t_random(&state) % 4 && done < N)
			continue;
		T_EQ(qx_flush(a), 0);
		for (p = 0; p < PEERS; p++)
			got[p] = check_counting(peers[p], got[p]);
	}
	for (int p = 0; p < PEERS; p++)
		T_EQ(got[p], sent[p]);
	for (int p = 0; p < PEERS; p++)
		qx_close(peers[p]);
	T_EQ(stats_of(a).drop[QX_DROP_SEND_ERROR] + stats_of(a).drop[QX_DROP_OVERLONG], 0);
}

/* Programs that switch batching off get plain sends and receives. */
static void batching_can_be_switched_off(void)
{
	struct qx_path there;

	open_two(loopback4(1, 0), loopback4(1, 0), QX_CFG_NO_GSO | QX_CFG_NO_GRO);
	there = path_to(b);
	T_EQ(send_equal(a, &there, 40, 1200, 0), 40);
	T_EQ(seam.messages, 40);
	T_EQ(seam.segmented, 0);
	T_EQ(lane_of(a).tx_syscalls, 1);
	T_EQ(recv_once(b), 40);
	T_EQ(lane_of(b).rx_syscalls, 1);
	qx_recv_done(b, &batch);
}

/* An MTU search needs DF: a datagram too long must be refused, never cut into fragments. */
static void nothing_is_fragmented(void)
{
	struct qx_addr at[] = {loopback4(1, 0), loopback6(1, 0)};
	struct qx_error error;
	struct qx_path there;

	for (int i = 0; i < 2; i++) {
		uint32_t fits = MTU_BYTES - (i ? 40 : 20) - 8;

		open_two(at[i], at[i], 0);
		there = path_to(b);
		T_EQ(send_equal(a, &there, 1, fits + 1, 0), 1);
		T_EQ(qx_next_error(a, &error), 1);
		T_EQ(error.code, EMSGSIZE);
		T_EQ(memcmp(&error.peer, &there.peer, sizeof(there.peer)), 0);
		T_EQ(stats_of(a).drop[QX_DROP_OVERLONG], 1);
		T_EQ(send_equal(a, &there, 1, fits, 0), 1);
		expect_equal(b, 1, fits, 0);
	}
}

static const struct t_case cases[] = {
	{"equal datagrams leave and arrive in one call",
	 equal_datagrams_leave_and_arrive_in_one_call},
	{"a long run becomes several messages of one call",
	 a_long_run_becomes_several_messages_of_one_call},
	{"only what belongs together shares a message",
	 only_what_belongs_together_shares_a_message},
	{"datagrams shorter than their room still share a message",
	 datagrams_shorter_than_their_room_still_share_a_message},
	{"what does not fit a batch is handed out without a call",
	 what_does_not_fit_a_batch_is_handed_out_without_a_call},
	{"lent buffers are not written", lent_buffers_are_not_written},
	{"a frame that was not lent is counted", a_frame_that_was_not_lent_is_counted},
	{"reservations end where the arena does", reservations_end_where_the_arena_does},
	{"a commit of more than was reserved is refused",
	 a_commit_of_more_than_was_reserved_is_refused},
	{"any mixture arrives whole and in order", any_mixture_arrives_whole_and_in_order},
	{"batching can be switched off", batching_can_be_switched_off},
	{"nothing is fragmented", nothing_is_fragmented},
};

int main(int argc, char **argv)
{
	enter_loopback();
	t_after_each = after_each;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
