/* test_sent.c: the ring of sent packets, its holes and its bounds. */
#include "sent.h"

#include "faults.h"
#include "t.h"

enum {
	FLAGS = SENT_ELICITING | SENT_IN_FLIGHT
};

static struct sent s;

static void begin_test(void)
{
	T_EQ(sent_init(&s), 0);
}

static void end_test(void)
{
	faults_at = 0;
	sent_free(&s);
}

static struct sent_item item_of(uint64_t off)
{
	return (struct sent_item){.type = ITEM_STREAM, .off = off};
}

static uint64_t send_items(uint8_t flags, uint32_t item_cnt)
{
	struct sent_packet *p = sent_begin(&s);

	T_CHECK(p);
	for (uint32_t i = 0; i < item_cnt; i++) {
		const struct sent_item item = item_of(i);

		T_EQ(sent_add(&s, p, &item), 0);
	}
	sent_end(&s, p, s.next, 100, flags);
	return s.next - 1;
}

static uint64_t send_one(void)
{
	return send_items(FLAGS, 1);
}

static uint64_t under_way(void)
{
	return s.next - s.oldest;
}

static uint32_t chain_cnt(const struct sent_chain *c)
{
	uint32_t cnt = 0;

	for (; c; c = c->next)
		cnt++;
	return cnt;
}

static void counts_what_is_under_way(void)
{
	begin_test();
	send_one();
	send_items(0, 1);
	send_items(SENT_ELICITING, 0);
	T_EQ(s.eliciting_cnt, 2);
	T_EQ(s.in_flight_bytes, 100);
	sent_forget(&s, 0);
	T_EQ(s.eliciting_cnt, 1);
	T_EQ(s.in_flight_bytes, 0);
	sent_forget(&s, 2);
	T_EQ(s.eliciting_cnt, 0);
	T_EQ(s.oldest, 1);
	sent_forget(&s, 1);
	T_EQ(s.oldest, 3);
}

static void grows_and_keeps_every_record(void)
{
	begin_test();
	for (uint64_t pn = 0; pn < 1000; pn++)
		T_EQ(send_items(FLAGS, (uint32_t)(pn % 5)), pn);
	for (uint64_t pn = 0; pn < 1000; pn++) {
		const struct sent_packet *p = sent_at(&s, pn);

		T_EQ(p->time_ns, pn);
		T_EQ(p->item_cnt + chain_cnt(p->chain), pn % 5);
		T_CHECK(p->flags == (FLAGS | SENT_USED));
	}
	T_EQ(s.size, 1024);
}

static void does_not_allocate_once_warm(void)
{
	uint32_t calls;

	begin_test();
	for (int i = 0; i < 100; i++)
		send_items(FLAGS, 4);
	for (uint64_t pn = 0; pn < 50; pn++)
		sent_forget(&s, pn);
	calls = faults_calls;
	for (uint64_t pn = 50; pn < 100000; pn++) {
		send_items(FLAGS, 4);
		sent_forget(&s, pn);
	}
	T_EQ(faults_calls, calls);
}

static void is_full_at_its_bound_and_only_there(void)
{
	begin_test();
	for (uint64_t pn = 0; pn < SENT_MAX; pn++)
		send_items(FLAGS, 0);
	T_CHECK(!sent_begin(&s));
	T_EQ(under_way(), SENT_MAX);
	/* Out of order makes no room at the old end. */
	sent_forget(&s, 7);
	T_CHECK(!sent_begin(&s));
	sent_forget(&s, 0);
	T_EQ(send_one(), SENT_MAX);
	T_CHECK(!sent_begin(&s));
}

static void shrinks_when_it_was_far_too_large(void)
{
	begin_test();
	for (uint64_t pn = 0; pn < 10000; pn++)
		send_items(FLAGS, 3);
	for (uint64_t pn = 0; pn < 10000; pn++)
		sent_forget(&s, pn);
	T_EQ(s.size, 16384);
	/* The next burst finds it as it is, pings let it go. */
	send_one();
	T_EQ(s.size, 16384);
	sent_forget(&s, s.next - 1);
	for (int i = 0; i < 20; i++) {
		send_one();
		sent_forget(&s, s.next - 1);
	}
	T_EQ(s.size, SENT_MIN);
}

static void forgets_acks_that_nobody_acknowledges(void)
{
	begin_test();
	/* The recent ones are kept: they may yet be acknowledged. */
	for (int i = 0; i < 100000; i++) {
		send_items(0, 1);
		if (i >= SENT_MIN / 2)
			T_CHECK(sent_at(&s, s.next - SENT_MIN / 2)->flags & SENT_USED &&
				under_way() >= SENT_MIN / 2);
	}
	T_EQ(s.size, SENT_MIN);
}

static void never_forgets_an_eliciting_packet(void)
{
	begin_test();
	send_one();
	for (int i = 0; i < 1000; i++)
		send_items(0, 0);
	T_EQ(s.oldest, 0);
	T_CHECK(sent_at(&s, 0)->flags & SENT_ELICITING);
}

static void a_number_may_be_reserved_and_filled_later(void)
{
	struct sent_packet draft = {0};
	struct sent_packet *p;
	uint64_t a, b;

	begin_test();
	T_EQ(send_one(), 0);
	T_EQ(sent_reserve(&s, &a), 0);
	T_EQ(sent_reserve(&s, &b), 0);
	T_EQ(send_one(), 3);
	for (uint64_t i = 0; i < 5; i++) {
		const struct sent_item item = item_of(i);

		T_EQ(sent_add(&s, &draft, &item), 0);
	}
	p = sent_adopt(&s, b, &draft, 77, 200, FLAGS);
	T_CHECK(p && p == sent_at(&s, 2));
	T_EQ(p->time_ns, 77);
	T_EQ(p->item_cnt + chain_cnt(p->chain), 5);
	T_CHECK(!draft.chain && !draft.item_cnt);
	T_CHECK(p->flags == (FLAGS | SENT_USED));
	T_CHECK(sent_adopt(&s, a, NULL, 78, 50, 0));
	T_EQ(s.in_flight_bytes, 400);
	T_EQ(s.eliciting_cnt, 3);
	for (uint64_t pn = 0; pn < 4; pn++)
		sent_forget(&s, pn);
	T_EQ(s.oldest, 4);
	T_EQ(s.in_flight_bytes, 0);
}

static void holes_survive_growth_and_block_nothing(void)
{
	uint64_t pn;

	begin_test();
	T_EQ(sent_reserve(&s, &pn), 0);
	for (int i = 0; i < SENT_MIN - 1; i++)
		send_one();
	T_CHECK(sent_at(&s, pn)->flags & SENT_RESERVED);
	/* Full: a hole at the old end is the first to go. */
	send_one();
	T_EQ(s.size, SENT_MIN);
	T_CHECK(!sent_adopt(&s, pn, NULL, 1, 100, FLAGS));
	T_EQ(sent_reserve(&s, &pn), 0);
	for (int i = 0; i < 500; i++)
		send_one();
	T_CHECK(sent_adopt(&s, pn, NULL, 1, 100, FLAGS));
}

static void only_a_hole_can_be_adopted(void)
{
	struct sent_packet draft = {0};
	const struct sent_item item = item_of(1);
	uint64_t pn;

	begin_test();
	sent_add(&s, &draft, &item);
	T_CHECK(!sent_adopt(&s, 0, &draft, 1, 100, FLAGS));
	send_one();
	T_CHECK(!sent_adopt(&s, 0, &draft, 1, 100, FLAGS));
	T_EQ(sent_reserve(&s, &pn), 0);
	T_CHECK(sent_adopt(&s, pn, NULL, 1, 100, FLAGS));
	T_CHECK(!sent_adopt(&s, pn, &draft, 1, 100, FLAGS));
	sent_forget(&s, pn);
	T_CHECK(!sent_adopt(&s, pn, &draft, 1, 100, FLAGS));
	T_CHECK(!sent_adopt(&s, UINT64_MAX, &draft, 1, 100, FLAGS));
	T_EQ(draft.item_cnt, 1);
	T_EQ(s.in_flight_bytes, 100);
}

static void a_cancelled_packet_leaves_no_trace(void)
{
	struct sent_packet *p;

	begin_test();
	p = sent_begin(&s);
	for (uint64_t i = 0; i < 9; i++) {
		const struct sent_item item = item_of(i);

		sent_add(&s, p, &item);
	}
	sent_cancel(&s, p);
	T_EQ(s.next, 0);
	T_EQ(chain_cnt(s.free_chain), 7);
	p = sent_begin(&s);
	T_EQ(p->item_cnt, 0);
	T_CHECK(!p->chain);
}

static void keeps_no_more_free_nodes_than_records(void)
{
	begin_test();
	for (int i = 0; i < 20; i++)
		send_items(FLAGS, 102);
	T_EQ(s.node_cnt, 2000);
	T_EQ(sent_memory_bytes(&s),
	     SENT_MIN * sizeof(struct sent_packet) + 2000 * sizeof(struct sent_chain));
	for (uint64_t pn = 0; pn < 20; pn++)
		sent_forget(&s, pn);
	T_EQ(s.node_cnt, SENT_MIN);
	T_EQ(chain_cnt(s.free_chain), SENT_MIN);
	T_EQ(s.free_cnt, SENT_MIN);
}

static void without_memory_nothing_is_sent_and_nothing_lost(void)
{
	struct sent_packet *p;
	uint64_t pn;

	begin_test();
	for (int i = 0; i < SENT_MIN; i++)
		send_one();
	faults_at = faults_calls + 1;
	T_CHECK(!sent_begin(&s));
	faults_at = faults_calls + 1;
	T_EQ(sent_reserve(&s, &pn), -ENOBUFS);
	T_EQ(s.next, SENT_MIN);
	T_EQ(s.in_flight_bytes, 100 * SENT_MIN);
	/* It comes back. */
	p = sent_begin(&s);
	T_CHECK(p);
	for (uint64_t i = 0; i < 3; i++) {
		const struct sent_item item = item_of(i);

		faults_at = faults_calls + 1;
		T_EQ(sent_add(&s, p, &item), i < 2 ? 0 : -ENOMEM);
	}
	sent_end(&s, p, 1, 100, FLAGS);
	T_EQ(sent_at(&s, SENT_MIN)->item_cnt, 2);
	sent_free(&s);
	faults_at = faults_calls + 1;
	T_EQ(sent_init(&s), -ENOMEM);
}

/* Against a plain list of what should be there. */
static void random_lives_add_up(void)
{
	enum {
		STEPS = 200000,
		NUMBERS = STEPS + 1
	};
	uint8_t *state = calloc(NUMBERS, 1); /* 1 sent, 2 hole, 3 sent without eliciting */
	uint64_t seed = 99, sent_cnt = 0;

	begin_test();
	T_CHECK(state);
	for (int i = 0; i < STEPS; i++) {
		const uint64_t dice = t_random(&seed) % 100;
		uint64_t pn = s.oldest + (under_way() ? t_random(&seed) % under_way() : 0);

		if (dice < 47) {
			pn = send_items(FLAGS, (uint32_t)(t_random(&seed) % 6));
			state[pn] = 1;
			sent_cnt++;
		} else if (dice < 50) {
			state[send_items(0, 1)] = 3;
		} else if (dice < 53) {
			T_EQ(sent_reserve(&s, &pn), 0);
			state[pn] = 2;
		} else if (pn < s.next && state[pn] == 1) {
			sent_forget(&s, pn);
			state[pn] = 0;
			sent_cnt--;
		} else if (pn < s.next && state[pn] == 2) {
			T_CHECK(sent_adopt(&s, pn, NULL, 1, 100, FLAGS));
			state[pn] = 1;
			sent_cnt++;
		}
		T_EQ(s.eliciting_cnt, sent_cnt);
		T_EQ(s.in_flight_bytes, 100 * sent_cnt);
		T_CHECK(under_way() <= s.size && s.size <= SENT_MAX);
	}
	for (uint64_t pn = s.oldest; pn < s.next; pn++)
		if (state[pn] == 1)
			T_CHECK(sent_at(&s, pn)->flags & SENT_USED);
	free(state);
}

static const struct t_case cases[] = {
	{"counts what is under way", counts_what_is_under_way},
	{"grows and keeps every record", grows_and_keeps_every_record},
	{"does not allocate once warm", does_not_allocate_once_warm},
	{"is full at its bound and only there", is_full_at_its_bound_and_only_there},
	{"shrinks when it was far too large", shrinks_when_it_was_far_too_large},
	{"forgets ACKs that nobody acknowledges", forgets_acks_that_nobody_acknowledges},
	{"never forgets an eliciting packet", never_forgets_an_eliciting_packet},
	{"a number may be reserved and filled later",
	 a_number_may_be_reserved_and_filled_later},
	{"holes survive growth and block nothing", holes_survive_growth_and_block_nothing},
	{"only a hole can be adopted", only_a_hole_can_be_adopted},
	{"a cancelled packet leaves no trace", a_cancelled_packet_leaves_no_trace},
	{"keeps no more free nodes than records", keeps_no_more_free_nodes_than_records},
	{"without memory nothing is sent and nothing is lost",
	 without_memory_nothing_is_sent_and_nothing_lost},
	{"random lives add up", random_lives_add_up},
};

int main(int argc, char **argv)
{
	t_after_each = end_test;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
