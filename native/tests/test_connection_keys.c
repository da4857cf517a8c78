/* test_connection_keys.c: key updates (RFC 9001 section 6), and the lack of keys. */
#include <errno.h>

#include "pair.h"
#include "protect_keys.h"

static void keys_are_updated_by_either_side(void)
{
	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 100000, false, false);
	pair_write(SERVER, 1, 0, 100000, false, false);
	pair_run(S_NS);
	for (uint32_t i = 1; i <= 6; i++) {
		const uint32_t who = i % 2;

		T_EQ(qx_conn_update_key(sides[who].c, now_ns), 0);
		for (uint32_t part = 2 * i; part < 2 * i + 2; part++) {
			pair_write(CLIENT, 0, part * 50000, 50000, false, false);
			pair_write(SERVER, 0, (part - 2) * 5000, 5000, false, false);
			pair_run(S_NS);
		}
		T_EQ(sides[CLIENT].key_updates, i);
		T_EQ(sides[SERVER].key_updates, i);
		for (uint32_t s = 0; s < 2; s++)
			for (uint32_t sending = 0; sending < 2; sending++)
				T_EQ(qx_conn_key_phase(sides[s].c, sending), i % 2);
	}
	T_EQ(pair_stream(SERVER, 0)->bytes, 700000);
	T_EQ(pair_stats(SERVER).undecryptable, 0);
	pair_check_quiet();
	pair_end();
}

static void updates_survive_losses_and_reordering(void)
{
	pair_start(NULL);
	net.loss_ppm = net.dup_ppm = 50000;
	net.reorder_ppm = 200000;
	for (uint32_t i = 0; i < 30; i++) {
		pair_write(CLIENT, 0, i * 30000, 30000, false, false);
		pair_write(SERVER, 1, i * 30000, 30000, false, false);
		qx_conn_update_key(sides[i % 2].c, now_ns);
		pair_run(200 * MS_NS);
	}
	pair_run(60 * S_NS);
	T_EQ(pair_stream(SERVER, 0)->bytes, 900000);
	T_EQ(pair_stream(CLIENT, 1)->bytes, 900000);
	T_CHECK(sides[CLIENT].key_updates > 5);
	T_EQ(sides[CLIENT].key_updates, sides[SERVER].key_updates);
	T_EQ(pair_stats(SERVER).undecryptable, 0);
	T_EQ(pair_stats(CLIENT).undecryptable, 0);
	pair_check_quiet();
	pair_end();
}

/* RFC 9001 section 6.1: not before the handshake is confirmed, and one at a time. */
static void an_update_waits_until_it_is_allowed(void)
{
	pair_open(NULL);
	for (uint32_t s = 0; s < 2; s++) {
		pair_set_secret(s, QX_EPOCH_ONE_RTT, 0);
		pair_set_secret(s, QX_EPOCH_ONE_RTT, 1);
	}
	T_EQ(qx_conn_update_key(sides[CLIENT].c, now_ns), 1);
	pair_write(CLIENT, 0, 0, 10, false, false);
	pair_run(S_NS);
	T_EQ(sides[CLIENT].key_updates, 0);
	pair_confirm(CLIENT);
	pair_confirm(SERVER);
	pair_write(CLIENT, 0, 10, 10, false, false);
	pair_run(S_NS);
	T_EQ(sides[CLIENT].key_updates, 1);
	T_EQ(sides[SERVER].key_updates, 1);
	/* The second of two has to wait for the first. */
	T_EQ(qx_conn_update_key(sides[CLIENT].c, now_ns), 0);
	T_EQ(qx_conn_update_key(sides[CLIENT].c, now_ns), 1);
	pair_write(CLIENT, 0, 20, 10, false, false);
	pair_run(S_NS);
	T_EQ(sides[CLIENT].key_updates, 2);
	pair_write(CLIENT, 0, 30, 10, false, false);
	pair_run(S_NS);
	T_EQ(sides[CLIENT].key_updates, 3);
	pair_end();
}

static void old_keys_are_kept_for_three_ptos(void)
{
	uint64_t until_ns;

	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 10, false, false);
	pair_run(S_NS);
	T_EQ(sides[SERVER].c->old_keys_until_ns, QX_NEVER_NS);
	T_EQ(qx_conn_update_key(sides[CLIENT].c, now_ns), 0);
	pair_write(CLIENT, 0, 10, 10, false, false);
	pair_run(15 * MS_NS);
	until_ns = sides[SERVER].c->old_keys_until_ns;
	T_CHECK(until_ns > now_ns && until_ns <= now_ns + S_NS);
	T_CHECK(qx_conn_deadline(sides[SERVER].c) <= until_ns);
	pair_run(2 * S_NS);
	T_EQ(sides[SERVER].c->old_keys_until_ns, QX_NEVER_NS);
	pair_end();
}

/* RFC 9001 section 6.6: a peer that answers no update cannot make us use a key up.  The
 * connection ends while there are packets left to say so. */
static void a_key_is_never_used_up(void)
{
	struct protect_half *half;
	uint8_t header[1 + CID_BYTES + 2] = {0x40}, out[64];
	uint64_t pn, limit;

	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 10, false, false);
	pair_run(S_NS);
	half = sides[CLIENT].c->keys[QX_EPOCH_ONE_RTT][1];
	limit = protect_seal_limit(half);
	/* Three quarters of the way an update begins by itself. */
	half->sealed_cnt = limit - limit / 4;
	pair_write(CLIENT, 0, 10, 10, false, false);
	pair_run(S_NS);
	T_EQ(sides[CLIENT].key_updates, 1);
	T_CHECK(protect_sealed_cnt(half) < 10);

	net.cut[SERVER] = true;
	T_EQ(qx_conn_update_key(sides[CLIENT].c, now_ns), 0);
	half->sealed_cnt = limit - 66;
	for (uint32_t i = 2; i < 10; i++) {
		pair_write(CLIENT, 0, 10 * i, 10, false, false);
		pair_flush(CLIENT);
	}
	T_EQ(sides[CLIENT].error_code, ERR_AEAD_LIMIT);
	T_EQ(protect_sealed_cnt(half), limit - 64);
	memcpy(header + 1, pair_cid[SERVER], CID_BYTES);
	for (uint32_t i = 0; i < 64; i++)
		T_CHECK(qx_conn_seal_foreign(sides[CLIENT].c, header, sizeof(header),
					     (const uint8_t[]){0x1c, 0x0f, 0, 0}, 4, out,
					     &pn) > 0);
	T_EQ(qx_conn_seal_foreign(sides[CLIENT].c, header, sizeof(header),
				  (const uint8_t[]){0x1c, 0x0f, 0, 0}, 4, out, &pn),
	     -EKEYEXPIRED);
	pair_end();
}

/* Both sides at once, again and again: whoever is ahead, the other follows. */
static void updates_of_both_sides_cross(void)
{
	pair_start(NULL);
	for (uint32_t i = 0; i < 40; i++) {
		for (uint32_t s = 0; s < 2; s++) {
			qx_conn_update_key(sides[s].c, now_ns);
			pair_write(s, s, i * 3000, 3000, false, false);
			pair_flush(s);
		}
		pair_run((1 + i % 7) * 5 * MS_NS);
	}
	pair_run(S_NS);
	T_EQ(pair_stream(SERVER, 0)->bytes, 120000);
	T_EQ(pair_stream(CLIENT, 1)->bytes, 120000);
	T_EQ(sides[CLIENT].key_updates, sides[SERVER].key_updates);
	T_CHECK(sides[CLIENT].key_updates > 10);
	T_EQ(pair_stats(CLIENT).undecryptable + pair_stats(SERVER).undecryptable, 0);
	pair_check_quiet();
	pair_end();
}

static void without_keys_nothing_is_sent_and_nothing_opened(void)
{
	uint8_t packet[100] = {0x40};
	uint32_t len;

	pair_open(NULL);
	pair_write(CLIENT, 0, 0, 10, true, false);
	T_EQ(qx_conn_send(sides[CLIENT].c, now_ns, packet, sizeof(packet), &len, 1), 0);
	T_EQ(qx_conn_receive(sides[CLIENT].c, QX_EPOCH_ONE_RTT, packet, 100, 9, 0, now_ns),
	     -ENOKEY);
	T_EQ(qx_conn_deadline(sides[CLIENT].c), QX_NEVER_NS);
	T_EQ(qx_conn_update_key(sides[CLIENT].c, now_ns), -ENOKEY);
	pair_end();
}

static void after_teardown_nothing_happens(void)
{
	uint8_t packet[1500];
	uint32_t len;

	pair_start(NULL);
	pair_write(CLIENT, 0, 0, 100000, true, true);
	pair_flush(CLIENT);
	for (uint32_t sending = 0; sending < 2; sending++)
		qx_conn_teardown(sides[CLIENT].c, QX_EPOCH_ONE_RTT, sending);
	T_EQ(qx_conn_send(sides[CLIENT].c, now_ns, packet, sizeof(packet), &len, 1), 0);
	T_EQ(qx_conn_deadline(sides[CLIENT].c), QX_NEVER_NS);
	T_CHECK(!qx_conn_has_keys(sides[CLIENT].c, QX_EPOCH_ONE_RTT, 0));
	pair_end();
}

static const struct t_case cases[] = {
	{"keys are updated by either side", keys_are_updated_by_either_side},
	{"updates survive losses and reordering", updates_survive_losses_and_reordering},
	{"an update waits until it is allowed", an_update_waits_until_it_is_allowed},
	{"old keys are kept for three PTOs", old_keys_are_kept_for_three_ptos},
	{"a key is never used up", a_key_is_never_used_up},
	{"updates of both sides cross", updates_of_both_sides_cross},
	{"without keys nothing is sent and nothing opened",
	 without_keys_nothing_is_sent_and_nothing_opened},
	{"after teardown nothing happens", after_teardown_nothing_happens},
};

T_MAIN(cases)
