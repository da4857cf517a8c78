/* test_protect_updates.c: generations of keys that follow each other (RFC 9001 section 6),
 * and their limits. */
#include "protect_pair.h"

static void the_peers_update_is_followed(void)
{
	FOR_EACH_SUITE(s)
	{
		open_pair(suites[s], s % 2 ? V2 : V1);
		for (uint32_t generation = 1; generation <= 5; generation++) {
			struct protect_opened o;
			struct packet p = sealed();

			opens_plainly(&p);
			T_EQ(protect_update(pair.tx), 0);
			T_EQ(protect_phase(pair.tx), generation & 1);
			T_EQ(protect_phase(pair.rx), (generation - 1) & 1);
			p = sealed();
			T_EQ(opened(&p, &o), 0);
			T_CHECK(o.updated && !o.old_phase);
			T_EQ(protect_phase(pair.rx), generation & 1);
			p = sealed();
			opens_plainly(&p);
		}
	}
}

/* We moved our receiving keys on; the peer has not heard yet, then it has. */
static void our_update_is_answered(void)
{
	struct protect_opened o;
	struct packet p;

	open_pair(QX_AES_128_GCM_SHA256, V1);
	p = sealed();
	opens_plainly(&p);
	T_EQ(protect_update(pair.rx), 0);
	p = sealed();
	T_EQ(opened(&p, &o), 0);
	T_CHECK(o.old_phase && !o.updated);
	T_EQ(protect_update(pair.tx), 0);
	p = sealed();
	opens_plainly(&p);
	T_EQ(protect_phase(pair.rx), 1);
}

static void packets_reordered_around_an_update_are_opened(void)
{
	struct packet before[3], after[3];
	struct protect_opened o;

	open_pair(QX_AES_128_GCM_SHA256, V1);
	for (int i = 0; i < 3; i++)
		before[i] = sealed();
	T_EQ(protect_update(pair.tx), 0);
	for (int i = 0; i < 3; i++)
		after[i] = sealed();

	opens_plainly(&before[0]);
	T_EQ(opened(&after[2], &o), 0);
	T_CHECK(o.updated);
	T_EQ(opened(&before[2], &o), 0);
	T_CHECK(o.old_phase && !o.updated);
	opens_plainly(&after[0]);
	/* Long after: the keys are gone. */
	protect_drop_old(pair.rx);
	T_EQ(opened(&before[1], &o), -EBADMSG);
	T_EQ(protect_phase(pair.rx), 1);
	opens_plainly(&after[1]);
	protect_drop_old(pair.rx);
}

/* Two updates: the keys before the last but one are gone, and their packets, whose phase
 * bit is the current one again, are refused without harm. */
static void only_one_generation_is_remembered(void)
{
	struct packet first, second, third;
	struct protect_opened o;

	open_pair(QX_AES_256_GCM_SHA384, V1);
	first = sealed();
	T_EQ(protect_update(pair.tx), 0);
	second = sealed();
	T_EQ(protect_update(pair.tx), 0);
	third = sealed();
	/* Nothing of the middle generation has come yet: two steps are too many. */
	opens_plainly(&first);
	T_EQ(opened(&third, &o), -EBADMSG);
	T_EQ(opened(&second, &o), 0);
	T_CHECK(o.updated);
	T_EQ(opened(&third, &o), 0);
	T_CHECK(o.updated);
	T_EQ(opened(&second, &o), 0);
	T_CHECK(o.old_phase);
	T_EQ(opened(&first, &o), -EBADMSG);
	T_EQ(protect_phase(pair.rx), 0);
}

/* RFC 9001 section 6.3: the phase is believed after the tag.  The forger here even knows
 * the header protection key. */
static void a_forged_phase_bit_changes_nothing(void)
{
	struct protect_opened o;
	struct packet p;

	FOR_EACH_SUITE(s)
	{
		open_pair(suites[s], V1);
		p = sealed();
		opens_plainly(&p);
		for (int i = 0; i < 100; i++) {
			p = sealed_as(pair.next_pn++, 1, 50);
			T_EQ(opened(&p, &o), -EBADMSG);
			T_EQ(protect_phase(pair.rx), 0);
		}
		p = sealed();
		opens_plainly(&p);
		T_EQ(protect_update(pair.tx), 0);
		p = sealed();
		T_EQ(opened(&p, &o), 0);
		T_CHECK(o.updated);
		T_EQ(protect_phase(pair.rx), 1);
	}
}

/* RFC 9001 section 6.4, from both sides of an update. */
static void newer_keys_at_a_lower_number_are_an_error(void)
{
	struct protect_opened o;
	struct packet p, late;

	open_pair(QX_AES_128_GCM_SHA256, V1);
	p = sealed_as(10, 0, 50);
	opens_plainly(&p);
	T_EQ(protect_update(pair.tx), 0);
	pair.tx->next_pn = 0; /* a peer that breaks the rules */
	p = sealed_as(9, 1, 50);
	T_EQ(opened(&p, &o), -EPROTO);
	T_EQ(protect_phase(pair.rx), 0);

	open_pair(QX_AES_128_GCM_SHA256, V1);
	late = sealed_as(10, 0, 50);
	T_EQ(protect_update(pair.tx), 0);
	p = sealed_as(12, 1, 50);
	T_EQ(opened(&p, &o), 0);
	T_CHECK(o.updated);
	T_EQ(opened(&late, &o), 0);
	T_CHECK(o.old_phase);
	pair.tx->next_pn = 0;
	p = sealed_as(9, 1, 50);
	T_EQ(opened(&p, &o), -EPROTO);
	p = sealed_as(11, 1, 50);
	opens_plainly(&p);
}

/* The other way round: the keys of the phase before are not even tried. */
static void older_keys_at_a_higher_number_are_refused(void)
{
	struct packet early, first, late[4];
	struct protect_opened o;

	open_pair(QX_AES_128_GCM_SHA256, V1);
	for (uint64_t i = 0; i < 4; i++)
		late[i] = sealed_as(11 + i, 0, 50);
	pair.tx->next_pn = 0; /* a peer that breaks the rules */
	T_EQ(protect_update(pair.tx), 0);
	early = sealed_as(12, 1, 50);
	first = sealed_as(20, 1, 50);
	T_EQ(opened(&first, &o), 0);
	T_CHECK(o.updated);
	opens_plainly(&early);
	for (int i = 1; i < 4; i++)
		T_EQ(opened(&late[i], &o), -EBADMSG);
	T_EQ(opened(&late[0], &o), 0);
	T_CHECK(o.old_phase);
	T_EQ(protect_phase(pair.rx), 1);
}

/* RFC 9001 section 6.6. */
static void a_key_seals_no_more_than_its_limit(void)
{
	FOR_EACH_SUITE(s)
	{
		uint8_t packet[64] = {0x40};

		open_pair(suites[s], V1);
		T_EQ(protect_seal_limit(pair.tx),
		     suites[s] == QX_CHACHA20_POLY1305_SHA256 ? INT64_C(1) << 62 : 1 << 23);
		pair.tx->sealed_cnt = protect_seal_limit(pair.tx) - 1;
		T_CHECK(protect_seal(pair.tx, packet, 2, 1, 20, 0) > 0);
		T_EQ(protect_seal(pair.tx, packet, 2, 1, 20, 1), -EKEYEXPIRED);
		T_EQ(protect_update(pair.tx), 0);
		T_EQ(protect_sealed_cnt(pair.tx), 0);
		T_CHECK(protect_seal(pair.tx, packet, 2, 1, 20, 1) > 0);
	}
}

/* Of all failures with any keys: a new key does not start the count anew. */
static void forgeries_are_counted_over_all_keys(void)
{
	FOR_EACH_SUITE(s)
	{
		struct protect_opened o;
		struct packet p, bad;

		open_pair(suites[s], V1);
		pair.rx->failed_cnt =
			(suites[s] == QX_CHACHA20_POLY1305_SHA256 ? UINT64_C(1) << 36
								  : UINT64_C(1) << 52) -
			2;
		bad = sealed();
		bad.bytes[20] ^= 1;
		T_EQ(opened(&bad, &o), -EBADMSG);
		T_EQ(protect_update(pair.tx), 0);
		p = sealed();
		T_EQ(opened(&p, &o), 0);
		T_CHECK(o.updated);
		T_EQ(opened(&bad, &o), -EBADMSG);
		T_EQ(opened(&p, &o), -EKEYEXPIRED);
	}
}

/* Where a short header has its phase, a long one has a reserved bit. */
static void zero_rtt_keys_have_no_phase(void)
{
	uint8_t packet[64] = {0xd4};
	struct protect_opened o;

	pair.tx = half(QX_AES_128_GCM_SHA256, V1, false, true);
	pair.rx = half(QX_AES_128_GCM_SHA256, V1, false, false);
	T_EQ(protect_update(pair.tx), -EINVAL);
	T_EQ(protect_update(pair.rx), -EINVAL);
	T_EQ(protect_seal(pair.tx, packet, 21, 1, 20, 0), 57);
	T_EQ(protect_open_packet(pair.rx, packet, 57, 20, 0, &o), 0);
	T_CHECK(!o.updated && !o.old_phase);
	T_EQ(packet[0], 0xd4);
	T_EQ(protect_phase(pair.rx), 0);
}

/* ---- A generation left out ---- */

/* The peer has followed our update, and begun its own before it sent anything. */
static void a_peer_that_leaves_a_generation_out_is_followed(void)
{
	FOR_EACH_SUITE(s)
	{
		struct packet late, p;
		struct protect_opened o;

		open_pair(suites[s], V1);
		p = sealed();
		opens_plainly(&p);
		late = sealed();
		protect_expect_skip(pair.rx);
		p = sealed();
		opens_plainly(&p);
		T_EQ(protect_update(pair.tx), 0);
		T_EQ(protect_update(pair.tx), 0);
		p = sealed();
		T_EQ(opened(&p, &o), 0);
		T_CHECK(o.updated && !o.old_phase);
		T_EQ(protect_phase(pair.rx), 0);
		p = sealed();
		opens_plainly(&p);
		/* Too old, though its phase bit is the current one. */
		T_EQ(opened(&late, &o), -EBADMSG);
		/* Three steps are one too many, now as ever. */
		for (uint32_t i = 0; i < 3; i++)
			T_EQ(protect_update(pair.tx), 0);
		p = sealed();
		T_EQ(opened(&p, &o), -EBADMSG);
		T_EQ(protect_phase(pair.rx), 0);
	}
}

/* Nothing was left out: the keys after the next are the next from then on. */
static void an_answer_ends_the_wait_for_a_generation_left_out(void)
{
	struct protect_opened o;
	struct packet p;

	open_pair(QX_AES_128_GCM_SHA256, V1);
	protect_expect_skip(pair.rx);
	protect_expect_skip(pair.rx);
	for (uint32_t generation = 1; generation <= 4; generation++) {
		T_EQ(protect_update(pair.tx), 0);
		p = sealed();
		T_EQ(opened(&p, &o), 0);
		T_CHECK(o.updated);
		T_EQ(protect_phase(pair.rx), generation & 1);
	}
	T_EQ(protect_update(pair.tx), 0);
	T_EQ(protect_update(pair.tx), 0);
	p = sealed();
	T_EQ(opened(&p, &o), -EBADMSG);
}

/* RFC 9001 section 6.4: it may leave keys out, but not go back in numbers. */
static void a_generation_left_out_at_a_lower_number_is_an_error(void)
{
	struct protect_opened o;
	struct packet p;

	open_pair(QX_AES_128_GCM_SHA256, V1);
	p = sealed_as(10, 0, 50);
	opens_plainly(&p);
	protect_expect_skip(pair.rx);
	T_EQ(protect_update(pair.tx), 0);
	T_EQ(protect_update(pair.tx), 0);
	pair.tx->next_pn = 0;
	p = sealed_as(9, 0, 50);
	T_EQ(opened(&p, &o), -EPROTO);
}

/* Sections 6.3 and 9.5: what a forgery costs does not depend on its phase bit, and it counts
 * as one failure; a packet of the keys looked ahead for with the other bit is a forgery. */
static void forgeries_while_a_generation_may_be_missing_change_nothing(void)
{
	FOR_EACH_SUITE(s)
	{
		struct protect_opened o;
		struct packet p;
		uint64_t before;

		open_pair(suites[s], V1);
		p = sealed();
		opens_plainly(&p);
		protect_expect_skip(pair.rx);
		before = alloc_cnt;
		for (uint32_t phase = 0; phase < 2; phase++) {
			p = sealed_as(pair.next_pn++, phase, 50);
			p.bytes[30] ^= 1;
			T_EQ(opened(&p, &o), -EBADMSG);
		}
		T_EQ(alloc_cnt, before);
		T_EQ(pair.rx->failed_cnt, 2);
		p = sealed();
		opens_plainly(&p);
		T_EQ(protect_update(pair.tx), 0);
		T_EQ(protect_update(pair.tx), 0);
		p = sealed_as(pair.next_pn++, 1, 50);
		T_EQ(opened(&p, &o), -EBADMSG);
		T_EQ(protect_phase(pair.rx), 0);
		p = sealed();
		T_EQ(opened(&p, &o), 0);
		T_CHECK(o.updated);
	}
}

static void memory_running_out_during_an_update_loses_no_keys(void)
{
	struct protect_opened o;
	uint64_t needed, nth;
	struct packet p;

	/* Ours: refused, and the old keys go on; then it succeeds. */
	open_pair(QX_AES_128_GCM_SHA256, V1);
	alloc_cnt = 0;
	T_EQ(protect_update(pair.tx), 0);
	needed = alloc_cnt;
	T_CHECK(needed > 0);
	for (nth = 1; nth <= needed; nth++) {
		open_pair(QX_AES_128_GCM_SHA256, V1);
		alloc_cnt = 0;
		fail_at = nth;
		if (protect_update(pair.tx) < 0) {
			fail_at = 0;
			T_EQ(protect_phase(pair.tx), 0);
			p = sealed();
			opens_plainly(&p);
			T_EQ(protect_update(pair.tx), 0);
		}
		fail_at = 0;
		p = sealed();
		/* The peer's: followed all the same, and the one after it too. */
		alloc_cnt = 0;
		fail_at = nth;
		T_EQ(opened(&p, &o), 0);
		T_CHECK(o.updated);
		fail_at = 0;
		T_EQ(protect_update(pair.tx), 0);
		p = sealed();
		T_EQ(opened(&p, &o), 0);
		T_CHECK(o.updated);
		T_EQ(ERR_peek_error(), 0);
	}
}

static const struct t_case cases[] = {
	{"the peer's update is followed", the_peers_update_is_followed},
	{"our update is answered", our_update_is_answered},
	{"packets reordered around an update are opened",
	 packets_reordered_around_an_update_are_opened},
	{"only one generation is remembered", only_one_generation_is_remembered},
	{"a forged phase bit changes nothing", a_forged_phase_bit_changes_nothing},
	{"newer keys at a lower number are an error",
	 newer_keys_at_a_lower_number_are_an_error},
	{"older keys at a higher number are refused",
	 older_keys_at_a_higher_number_are_refused},
	{"a key seals no more than its limit", a_key_seals_no_more_than_its_limit},
	{"forgeries are counted over all keys", forgeries_are_counted_over_all_keys},
	{"0-RTT keys have no phase", zero_rtt_keys_have_no_phase},
	{"memory running out during an update loses no keys",
	 memory_running_out_during_an_update_loses_no_keys},
	{"a peer that leaves a generation out is followed",
	 a_peer_that_leaves_a_generation_out_is_followed},
	{"an answer ends the wait for a generation left out",
	 an_answer_ends_the_wait_for_a_generation_left_out},
	{"a generation left out at a lower number is an error",
	 a_generation_left_out_at_a_lower_number_is_an_error},
	{"forgeries while a generation may be missing change nothing",
	 forgeries_while_a_generation_may_be_missing_change_nothing},
};

PROTECT_MAIN(cases)
