/* test_admission.c: who may begin a connection, who is asked to prove its address, and who is
 * dropped under which name. */
#include "counting.h"
#include "first_packets.h"

#include <errno.h>

static void expect_only(uint32_t reason, uint64_t cnt)
{
	const struct qx_admission_stats st = gate_stats();

	for (uint32_t i = 0; i < QX_REFUSAL_CNT; i++)
		T_EQ(st.refused[i], i == reason ? cnt : 0);
}

static void refused_as(int verdict, uint32_t reason)
{
	T_EQ(verdict, QX_VERDICT_REFUSED + (int)reason);
	expect_only(reason, 1);
	gate_open(gate_config());
}

/* Whoever watches the counters learns what is wrong, and nothing of it costs a handshake. */
static void every_refusal_has_its_own_counter(void)
{
	const struct qx_addr peer = source4(0x0a000001, 4000);
	const struct initial good = {.dcid = first_cid(1), .dcid_len_bytes = CID_BYTES};
	struct initial i;
	uint8_t data[DATAGRAM_BYTES];

	gate_open(gate_config());
	T_EQ(judge_initial(&good, peer), QX_VERDICT_ADMIT);
	expect_only(QX_REFUSAL_CNT, 0);
	gate_open(gate_config());
	refused_as(judge(data, 0, peer), QX_REFUSED_MALFORMED);
	data[0] = FIXED_BIT;
	refused_as(judge(data, CID_BYTES, peer), QX_REFUSED_MALFORMED);
	refused_as(judge(data, CID_BYTES + 1, peer), QX_REFUSED_UNKNOWN);
	i = good;
	i.len_bytes = DATAGRAM_BYTES - 1;
	refused_as(judge_initial(&i, peer), QX_REFUSED_SMALL);
	i.version = 0x1a2a3a4a;
	refused_as(judge_initial(&i, peer), QX_REFUSED_SMALL);
	i = good;
	initial_write(&i, data);
	memset(data + 1, 0, 4);
	refused_as(judge(data, DATAGRAM_BYTES, peer), QX_REFUSED_VERSION);
	i.first = LONG_HEADER_BIT;
	refused_as(judge_initial(&i, peer), QX_REFUSED_MALFORMED);
	i.first = LONG_HEADER_BIT | FIXED_BIT | 2 << 4;
	refused_as(judge_initial(&i, peer), QX_REFUSED_UNKNOWN);
	i = good;
	i.dcid_len_bytes = CID_BYTES - 1;
	refused_as(judge_initial(&i, peer), QX_REFUSED_MALFORMED);
	qx_admission_set_load(gate, 0, 0, 1);
	refused_as(judge_initial(&good, peer), QX_REFUSED_CLOSED);
	qx_admission_set_load(gate, 1000, 0, 0);
	refused_as(judge_initial(&good, peer), QX_REFUSED_CONNECTIONS);
	qx_admission_set_load(gate, 999, 100, 0);
	refused_as(judge_initial(&good, peer), QX_REFUSED_HANDSHAKES);
	for (uint32_t reason = 0; reason < QX_REFUSAL_CNT; reason++)
		T_CHECK(strlen(qx_refusal_name(reason)) > 0);
	T_CHECK(!qx_refusal_name(QX_REFUSAL_CNT));
}

/* Lengths that lie are found by counting, at every place where the packet may end. */
static void cut_off_headers_are_malformed_and_read_no_further(void)
{
	const struct qx_addr peer = source4(0x0a000001, 4000);
	const struct initial i = {.dcid = first_cid(1),
				  .dcid_len_bytes = CID_BYTES,
				  .token = answer,
				  .token_len_bytes = 30};
	uint8_t whole[DATAGRAM_BYTES];

	gate_open(gate_config());
	initial_write(&i, whole);
	for (uint32_t len_bytes = 1; len_bytes < 1 + 4 + 1 + CID_BYTES + 1 + CID_BYTES;
	     len_bytes++) {
		uint8_t *cut = malloc(len_bytes); /* so that the sanitizer watches its end */

		memcpy(cut, whole, len_bytes);
		T_EQ(judge(cut, len_bytes, peer), QX_VERDICT_REFUSED + QX_REFUSED_MALFORMED);
		free(cut);
	}
	/* A token as long as the datagram, a packet longer than it, one without payload. */
	whole[1 + 4 + 1 + CID_BYTES + 1 + CID_BYTES] = 0x7f;
	T_EQ(judge(whole, DATAGRAM_BYTES, peer), QX_VERDICT_REFUSED + QX_REFUSED_MALFORMED);
	initial_write(&i, whole);
	whole[1 + 4 + 1 + CID_BYTES + 1 + CID_BYTES + 1 + 30] |= 0x3f;
	T_EQ(judge(whole, DATAGRAM_BYTES, peer), QX_VERDICT_REFUSED + QX_REFUSED_MALFORMED);
	initial_write(&i, whole);
	whole[1 + 4 + 1 + CID_BYTES + 1 + CID_BYTES + 1 + 30] = 19;
	T_EQ(judge(whole, DATAGRAM_BYTES, peer), QX_VERDICT_REFUSED + QX_REFUSED_MALFORMED);
}

/* A handshake's later packets, also small ones and those with the client's first ID, reach
 * it whatever the load is. */
static void what_belongs_to_a_connection_passes(void)
{
	const struct qx_addr peer = source4(0x0a000001, 4000);
	static const uint8_t long_cid[20] = {9, 8, 7, [19] = 1};
	struct initial i = {.dcid = long_cid, .dcid_len_bytes = 20, .len_bytes = 100};
	uint8_t data[DATAGRAM_BYTES] = {FIXED_BIT, 'c', 'l', 'i', 'e', 'n', 't', 's', 1};

	gate_open(gate_config());
	T_EQ(qx_admission_know(gate, long_cid, 20), 0);
	T_EQ(qx_admission_know(gate, client_cid, CID_BYTES), 0);
	qx_admission_set_load(gate, 1000, 100, 1);
	T_EQ(judge_initial(&i, peer), QX_VERDICT_KNOWN);
	T_EQ(judge(data, 30, peer), QX_VERDICT_KNOWN);
	i.dcid_len_bytes = 19; /* another one */
	T_EQ(judge_initial(&i, peer), QX_VERDICT_REFUSED + QX_REFUSED_SMALL);
	qx_admission_forget(gate, long_cid, 20);
	i.dcid_len_bytes = 20;
	T_EQ(judge_initial(&i, peer), QX_VERDICT_REFUSED + QX_REFUSED_SMALL);
	T_EQ(qx_admission_know(gate, data, 21), -EINVAL);
	qx_admission_forget(gate, data, 21);
}

static void another_version_is_answered_with_ours(void)
{
	const struct qx_addr peer = source4(0x0a000001, 4000);
	const struct initial i = {
		.version = 0x1a2a3a4a, .dcid = first_cid(1), .dcid_len_bytes = CID_BYTES};
	struct first_packet p;

	gate_open(gate_config());
	T_EQ(judge_initial(&i, peer), QX_VERDICT_VERSION);
	T_CHECK(first_packet_invariants(&p, answer, answer_len_bytes));
	T_EQ(p.version, 0);
	T_EQ(memcmp(p.dcid, client_cid, CID_BYTES), 0);
	T_EQ(memcmp(p.scid, i.dcid, CID_BYTES), 0);
	T_EQ(answer_len_bytes, 7 + 2 * CID_BYTES + 8);
	T_EQ(load_be32(answer + answer_len_bytes - 8), VERSION_1);
	T_EQ(load_be32(answer + answer_len_bytes - 4), VERSION_2);
	T_EQ(gate_stats().versions_sent, 1);
	/* That, too, is limited: a source may be forged. */
	for (int n = 0; n < 30; n++)
		judge_initial(&i, peer);
	T_EQ(gate_stats().versions_sent, 20);
}

/* ---- Retry ---- */

static struct qx_admission_config always(void)
{
	struct qx_admission_config cfg = gate_config();

	cfg.retry_from_cnt = 0;
	return cfg;
}

/* A client that was asked: its next Initial. */
struct asked {
	uint8_t cid[CID_BYTES];
	uint8_t token[QX_ANSWER_MAX_BYTES];
	struct initial initial;
};

static void ask(struct asked *a, uint32_t version, struct qx_addr peer)
{
	const struct initial first = {
		.version = version,
		.first = version == VERSION_2 ? LONG_HEADER_BIT | FIXED_BIT | 1 << 4 : 0,
		.dcid = first_cid(1),
		.dcid_len_bytes = CID_BYTES};
	struct retry_read retry;

	T_EQ(judge_initial(&first, peer), QX_VERDICT_RETRY);
	retry = read_retry(version);
	memcpy(a->cid, retry.cid, CID_BYTES);
	memcpy(a->token, retry.token, retry.token_len_bytes);
	a->initial = first;
	a->initial.dcid = a->cid;
	a->initial.token = a->token;
	a->initial.token_len_bytes = retry.token_len_bytes;
}

static void who_returns_the_token_is_admitted(void)
{
	const struct qx_addr peers[] = {
		source4(0x0a000001, 4000),
		{.family = QX_IPV6, .ip = {0x20, 1, [15] = 7}, .port = 65535}};
	const uint32_t versions[] = {VERSION_1, VERSION_2};
	struct asked client;

	for (int i = 0; i < 4; i++) {
		gate_open(always());
		ask(&client, versions[i / 2], peers[i % 2]);
		T_CHECK(answer_len_bytes < DATAGRAM_BYTES / 3);
		gate_now_ns += 29 * S_NS;
		T_EQ(judge_initial(&client.initial, peers[i % 2]), QX_VERDICT_RETRIED);
		T_EQ(gate_stats().retries_sent, 1);
		T_EQ(gate_stats().tokens_valid, 1);
		T_EQ(gate_stats().admitted, 1);
		expect_only(QX_REFUSAL_CNT, 0);
	}
}

/* Refused under that name; the first few go up all the same, so that a client that means no
 * harm is told. */
static void bad_token(const struct initial *i, struct qx_addr peer, uint32_t reason)
{
	const uint64_t before = gate_stats().refused[reason];
	const int verdict = judge_initial(i, peer);

	T_CHECK(verdict == QX_VERDICT_BAD_TOKEN ||
		verdict == QX_VERDICT_REFUSED + (int)reason);
	T_EQ(gate_stats().refused[reason], before + 1);
}

static void few_bad_tokens_go_up_to_be_answered(void)
{
	const struct qx_addr peer = source4(0x0a000001, 4000);
	struct asked client;
	uint32_t up = 0;

	gate_open(always());
	ask(&client, VERSION_1, peer);
	for (uint32_t n = 0; n < 2000; n++) {
		/* Forged sources, each of a network of its own. */
		up += judge_initial(&client.initial, source4(n << 8, 1)) ==
		      QX_VERDICT_BAD_TOKEN;
		gate_now_ns += MS_NS;
	}
	T_CHECK(up >= 200 && up <= 211); /* a hundred a second */
	T_EQ(gate_stats().refused[QX_REFUSED_TOKEN_ADDRESS], 2000);
	T_EQ(gate_stats().admitted, 0);
}

/* A token proves one address, for one connection, for half a minute, once. */
static void a_token_is_worth_nothing_elsewhere(void)
{
	const struct qx_addr peer = source4(0x0a000001, 4000);
	struct asked client;

	gate_open(always());
	ask(&client, VERSION_1, peer);
	bad_token(&client.initial, source4(0x0a000002, 4000), QX_REFUSED_TOKEN_ADDRESS);
	bad_token(&client.initial, source4(0x0a000001, 4001), QX_REFUSED_TOKEN_ADDRESS);
	client.initial.dcid = first_cid(2);
	bad_token(&client.initial, peer, QX_REFUSED_TOKEN_ADDRESS);
	client.initial.dcid = client.cid;
	gate_now_ns += 31 * S_NS;
	bad_token(&client.initial, peer, QX_REFUSED_TOKEN_EXPIRED);
	gate_now_ns -= 31 * S_NS;
	T_EQ(judge_initial(&client.initial, peer), QX_VERDICT_RETRIED);
	qx_admission_use_token(gate, client.initial.token, client.initial.token_len_bytes);
	bad_token(&client.initial, peer, QX_REFUSED_TOKEN_REPLAYED);
	/* A clock that went back is no reason to believe anything. */
	gate_now_ns -= 5 * S_NS;
	bad_token(&client.initial, peer, QX_REFUSED_TOKEN_EXPIRED);
}

/* Any bit of it; such a client may hold a token of somebody else, so it is asked again. */
static void a_damaged_or_foreign_token_is_none(void)
{
	const struct qx_addr peer = source4(0x0a000001, 4000);
	struct qx_admission_config cfg = always();
	struct asked client;

	cfg.prefix_interval_ns = 0;
	gate_open(cfg);
	ask(&client, VERSION_1, peer);
	for (uint32_t bit = 0; bit < client.initial.token_len_bytes * 8; bit++) {
		client.token[bit / 8] ^= (uint8_t)(1 << bit % 8);
		T_EQ(judge_initial(&client.initial, peer), QX_VERDICT_RETRY);
		client.token[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (uint32_t len = 1; len < client.initial.token_len_bytes; len++) {
		struct initial cut = client.initial;

		cut.token_len_bytes = len;
		T_EQ(judge_initial(&cut, peer), QX_VERDICT_RETRY);
	}
	qx_admission_use_token(gate, client.token, 1);
	T_EQ(judge_initial(&client.initial, peer), QX_VERDICT_RETRIED);
	cfg.retry_key[0] ^= 1; /* another process */
	gate_open(cfg);
	T_EQ(judge_initial(&client.initial, peer), QX_VERDICT_RETRY);
}

/* The bits that tell used tokens go round; one that is that old has expired. */
static void tokens_that_many_others_followed_have_expired(void)
{
	const struct qx_addr peer = source4(0x0a000001, 4000);
	struct qx_admission_config cfg = always();
	struct asked client;

	cfg.prefix_interval_ns = 0;
	gate_open(cfg);
	ask(&client, VERSION_1, peer);
	qx_admission_use_token(gate, client.token, client.initial.token_len_bytes);
	for (uint32_t n = 1; n < 1 << 20; n++)
		T_EQ(judge_nth(n, peer), QX_VERDICT_RETRY);
	bad_token(&client.initial, peer, QX_REFUSED_TOKEN_REPLAYED);
	ask(&client, VERSION_1, peer); /* takes over its bit, which is clear */
	T_EQ(judge_initial(&client.initial, peer), QX_VERDICT_RETRIED);
}

/* Few open handshakes: no round trip more; many: everybody proves its address. */
static void retry_begins_at_its_threshold_and_counts_what_was_just_admitted(void)
{
	struct asked client;

	gate_open(gate_config());
	qx_admission_set_load(gate, 10, 45, 0);
	for (uint64_t n = 0; n < 10; n++)
		T_EQ(judge_nth(n, source4((uint32_t)n << 8, 1)),
		     n < 5 ? QX_VERDICT_ADMIT : QX_VERDICT_RETRY);
	ask(&client, VERSION_1, source4(0x0b000000, 1));
	/* The token still counts when the load is gone: this client's handshake will tell
	 * of the Retry, so its connection has to. */
	qx_admission_set_load(gate, 0, 0, 0);
	T_EQ(judge_initial(&client.initial, source4(0x0b000000, 1)), QX_VERDICT_RETRIED);
	qx_admission_set_load(gate, 0, 100, 0);
	T_EQ(judge_initial(&client.initial, source4(0x0b000000, 1)),
	     QX_VERDICT_REFUSED + QX_REFUSED_HANDSHAKES);
}

static void who_proved_its_address_passes_the_limit_of_its_neighbours(void)
{
	const struct qx_addr peer = source4(0x0a000001, 4000);
	struct asked client;

	gate_open(always());
	ask(&client, VERSION_1, peer);
	for (uint64_t n = 0; n < 1000; n++)
		judge_nth(n, source4(0x0a000000 + (uint32_t)n % 256, (uint16_t)(n + 1)));
	T_EQ(gate_stats().refused[QX_REFUSED_PREFIX_RATE], 1000 - 19);
	T_EQ(judge_initial(&client.initial, peer), QX_VERDICT_RETRIED);
}

/* ---- Memory ---- */

static void a_flood_allocates_nothing(void)
{
	uint64_t seed = 99, before;

	gate_open(gate_config());
	before = counting_allocations;
	for (uint64_t n = 0; n < 100000; n++)
		judge_nth(n, source4((uint32_t)t_random(&seed), 1));
	T_EQ(counting_allocations, before);
}

static void without_memory_nothing_is_left(void)
{
	const struct qx_admission_config cfg = gate_config();
	uint64_t failures = 0;
	int err = -ENOMEM;

	qx_admission_close(gate);
	gate = NULL;
	for (uint64_t n = 1; err != 0; n++) {
		counting_fail_at = counting_allocations + n;
		err = qx_admission_open(&gate, &cfg);
		counting_fail_at = 0;
		failures += err != 0;
		T_CHECK(err == 0 || err == -ENOMEM || err == -EIO);
		T_CHECK(n < 1000);
	}
	T_CHECK(failures >= 4); /* itself, IDs, networks, used tokens */
	/* A connection that cannot be noted is refused by the caller, not half known. */
	for (uint32_t i = 0; i < 31; i++)
		T_EQ(qx_admission_know(gate, first_cid(i), CID_BYTES), 0);
	counting_fail_at = counting_allocations + 1;
	err = 0;
	for (uint32_t i = 31; i < 64 && err == 0; i++)
		err = qx_admission_know(gate, first_cid(i), CID_BYTES);
	counting_fail_at = 0;
	T_EQ(err, -ENOMEM);
}

static void a_configuration_without_sense_is_refused(void)
{
	struct qx_admission_config cfg = gate_config();
	struct qx_admission *none = NULL;

	cfg.version_cnt = QX_VERSIONS_MAX + 1;
	T_EQ(qx_admission_open(&none, &cfg), -EINVAL);
	cfg.version_cnt = 0;
	T_EQ(qx_admission_open(&none, &cfg), -EINVAL);
	cfg = gate_config();
	cfg.cid_len_bytes = QX_CID_MAX_BYTES + 1;
	T_EQ(qx_admission_open(&none, &cfg), -EINVAL);
	cfg = gate_config();
	cfg.prefix_interval_ns = UINT64_MAX / 4;
	T_EQ(qx_admission_open(&none, &cfg), -EINVAL);
	T_CHECK(!none);
	qx_admission_close(NULL);
}

static const struct t_case cases[] = {
	{"every refusal has its own counter", every_refusal_has_its_own_counter},
	{"cut-off headers are malformed and read no further",
	 cut_off_headers_are_malformed_and_read_no_further},
	{"what belongs to a connection passes", what_belongs_to_a_connection_passes},
	{"another version is answered with ours", another_version_is_answered_with_ours},
	{"who returns the token is admitted", who_returns_the_token_is_admitted},
	{"a token is worth nothing elsewhere", a_token_is_worth_nothing_elsewhere},
	{"few bad tokens go up, to be answered", few_bad_tokens_go_up_to_be_answered},
	{"a damaged or foreign token is none", a_damaged_or_foreign_token_is_none},
	{"tokens that many others followed have expired",
	 tokens_that_many_others_followed_have_expired},
	{"Retry begins at its threshold and counts what was just admitted",
	 retry_begins_at_its_threshold_and_counts_what_was_just_admitted},
	{"who proved its address passes the limit of its neighbours",
	 who_proved_its_address_passes_the_limit_of_its_neighbours},
	{"a flood allocates nothing", a_flood_allocates_nothing},
	{"without memory nothing is left", without_memory_nothing_is_left},
	{"a configuration without sense is refused",
	 a_configuration_without_sense_is_refused},
};

static void close_gate(void)
{
	qx_admission_close(gate);
	gate = NULL;
}

int main(int argc, char **argv)
{
	t_after_each = close_gate;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
