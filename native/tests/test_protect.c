/* test_protect.c: packets as the RFCs and aioquic seal them, keys that follow each other, and
 * what a peer or somebody on the path can do about it. */
#include "protect.h"

#include <errno.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "protect_keys.h"
#include "t.h"
#include "varint.h"

enum {
	V1 = 0x00000001,
	V2 = 0x6b3343cf,
	ROOM = 2048,
	CID_BYTES = 8
};

struct vector {
	const char *name;
	uint32_t suite, version, updates;
	bool one_rtt;
	uint64_t pn;
	uint32_t pn_len_bytes;
	const char *secret, *header, *payload, *packet; /* hexadecimal */
};

static const struct vector vectors[] = {
	{
		.name = "RFC 9001 appendix A.5",
		.suite = QX_CHACHA20_POLY1305_SHA256,
		.version = V1,
		.one_rtt = true,
		.pn = 654360564,
		.pn_len_bytes = 3,
		.secret = "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b",
		.header = "4200bff4",
		.payload = "01",
		.packet = "4cfe4189655e5cd55c41f69080575d7999c25a5bfb",
	},
	{
		.name = "RFC 9369 appendix A.5",
		.suite = QX_CHACHA20_POLY1305_SHA256,
		.version = V2,
		.one_rtt = true,
		.pn = 654360564,
		.pn_len_bytes = 3,
		.secret = "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b",
		.header = "4200bff4",
		.payload = "01",
		.packet = "5558b1c60ae7b6b932bc27d786f4bc2bb20f2162ba",
	},
#include "protect_vectors.h"
};

enum {
	VECTOR_CNT = sizeof(vectors) / sizeof(vectors[0])
};

static const uint32_t suites[] = {QX_AES_128_GCM_SHA256, QX_AES_256_GCM_SHA384,
				  QX_CHACHA20_POLY1305_SHA256};

#define FOR_EACH_SUITE(i) for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)

static uint32_t secret_bytes(uint32_t suite)
{
	return suite == QX_AES_256_GCM_SHA384 ? 48 : 32;
}

/* Two halves that belong together, and the counter between them. */
struct pair {
	struct protect_half *tx, *rx;
	uint64_t next_pn, expected_pn;
};

static struct pair pair; /* closed after each test, failed or not */
static struct protect_half *other;

/* libcrypto's allocations: counted, and failed on demand. */
static uint64_t alloc_cnt, fail_at;

static bool alloc_fails(void)
{
	return ++alloc_cnt == fail_at;
}

static void *counted_malloc(size_t bytes, const char *file, int line)
{
	(void)file, (void)line;
	return alloc_fails() ? NULL : malloc(bytes);
}

static void *counted_realloc(void *at, size_t bytes, const char *file, int line)
{
	(void)file, (void)line;
	return alloc_fails() ? NULL : realloc(at, bytes);
}

static void counted_free(void *at, const char *file, int line)
{
	(void)file, (void)line;
	free(at);
}

static void close_all(void)
{
	fail_at = 0;
	protect_close(pair.tx);
	protect_close(pair.rx);
	protect_close(other);
	pair = (struct pair){0};
	other = NULL;
}

static struct protect_half *half(uint32_t suite, uint32_t version, bool one_rtt, bool sending)
{
	uint8_t secret[PROTECT_SECRET_MAX_BYTES];
	struct protect_half *h = NULL;

	for (uint8_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)(i * 7 + suite);
	T_EQ(protect_open(&h, suite, version, one_rtt, sending, secret, secret_bytes(suite)),
	     0);
	return h;
}

static void open_pair(uint32_t suite, uint32_t version)
{
	close_all();
	pair.tx = half(suite, version, true, true);
	pair.rx = half(suite, version, true, false);
}

struct packet {
	uint32_t len_bytes;
	uint64_t pn;
	uint8_t bytes[ROOM];
};

static struct packet sealed_as(uint64_t pn, uint32_t phase, uint32_t payload_len_bytes)
{
	struct packet p = {.pn = pn};
	uint32_t header_len = 1 + CID_BYTES + 2;
	int len;

	p.bytes[0] = (uint8_t)(0x41 | phase << 2);
	p.bytes[header_len - 2] = (uint8_t)(pn >> 8);
	p.bytes[header_len - 1] = (uint8_t)pn;
	for (uint32_t i = 0; i < payload_len_bytes; i++)
		p.bytes[header_len + i] = (uint8_t)(pn + i);
	len = protect_seal(pair.tx, p.bytes, header_len, 2, payload_len_bytes, pn);
	T_EQ(len, header_len + payload_len_bytes + PROTECT_TAG_BYTES);
	p.len_bytes = (uint32_t)len;
	return p;
}

static struct packet sealed(void)
{
	return sealed_as(pair.next_pn++, protect_phase(pair.tx), 50);
}

static int opened_by(struct protect_half *h, const struct packet *p,
		     struct protect_opened *out)
{
	struct packet copy = *p;
	int err = protect_open_packet(h, copy.bytes, p->len_bytes, 1 + CID_BYTES,
				      pair.expected_pn, out);

	if (err < 0)
		return err;
	T_EQ(out->pn, p->pn);
	T_EQ(out->header_len_bytes, 1 + CID_BYTES + 2);
	T_EQ(out->payload_len_bytes, p->len_bytes - PROTECT_TAG_BYTES - 1 - CID_BYTES - 2);
	for (uint32_t i = 0; i < out->payload_len_bytes; i++)
		T_EQ(copy.bytes[out->header_len_bytes + i], (uint8_t)(p->pn + i));
	if (out->pn >= pair.expected_pn)
		pair.expected_pn = out->pn + 1;
	return 0;
}

static int opened(const struct packet *p, struct protect_opened *out)
{
	return opened_by(pair.rx, p, out);
}

static void opens_plainly(const struct packet *p)
{
	struct protect_opened o;

	T_EQ(opened(p, &o), 0);
	T_CHECK(!o.updated && !o.old_phase);
}

static uint32_t from_hex(const char *hex, uint8_t *out)
{
	uint32_t len = (uint32_t)strlen(hex) / 2;
	unsigned int byte;

	for (uint32_t i = 0; i < len; i++) {
		T_CHECK(sscanf(hex + 2 * (size_t)i, "%2x", &byte) == 1);
		out[i] = (uint8_t)byte;
	}
	return len;
}

static void open_vector(const struct vector *v)
{
	uint8_t secret[PROTECT_SECRET_MAX_BYTES];
	uint32_t len = from_hex(v->secret, secret);

	close_all();
	T_EQ(protect_open(&pair.tx, v->suite, v->version, v->one_rtt, true, secret, len), 0);
	T_EQ(protect_open(&pair.rx, v->suite, v->version, v->one_rtt, false, secret, len), 0);
	for (uint32_t i = 0; i < v->updates; i++) {
		T_EQ(protect_update(pair.tx), 0);
		T_EQ(protect_update(pair.rx), 0);
	}
}

static void packets_equal_those_of_the_rfcs_and_aioquic(void)
{
	for (int i = 0; i < VECTOR_CNT; i++) {
		const struct vector *v = &vectors[i];
		uint8_t packet[ROOM], want[ROOM], payload[ROOM];
		uint32_t header_len = from_hex(v->header, packet);
		uint32_t payload_len = from_hex(v->payload, payload);
		uint32_t want_len = from_hex(v->packet, want);
		int len;

		open_vector(v);
		memcpy(packet + header_len, payload, payload_len);
		len = protect_seal(pair.tx, packet, header_len, v->pn_len_bytes, payload_len,
				   v->pn);
		if (len != (int)want_len || memcmp(packet, want, want_len) != 0)
			T_FAIL("%s is sealed differently", v->name);
	}
}

static void packets_of_the_rfcs_and_aioquic_are_opened(void)
{
	for (int i = 0; i < VECTOR_CNT; i++) {
		const struct vector *v = &vectors[i];
		uint8_t packet[ROOM], header[ROOM], payload[ROOM];
		uint32_t len = from_hex(v->packet, packet);
		uint32_t header_len = from_hex(v->header, header);
		uint32_t payload_len = from_hex(v->payload, payload);
		struct protect_opened o;

		open_vector(v);
		if (protect_open_packet(pair.rx, packet, len, header_len - v->pn_len_bytes,
					v->pn, &o) != 0)
			T_FAIL("%s is not opened", v->name);
		T_EQ(o.pn, v->pn);
		T_EQ(o.header_len_bytes, header_len);
		T_EQ(o.payload_len_bytes, payload_len);
		T_CHECK(!o.updated && !o.old_phase);
		T_CHECK(memcmp(packet, header, header_len) == 0);
		T_CHECK(memcmp(packet + header_len, payload, payload_len) == 0);
	}
}

static void packet_numbers_decode_as_in_rfc_9000(void)
{
	T_EQ(decode_pn(0xa82f30eb, 0x9b32, 2), 0xa82f9b32); /* appendix A.3 */
	T_EQ(decode_pn(0, 0, 1), 0);
	T_EQ(decode_pn(0, 0xff, 1), 0xff); /* nothing below it */
	T_EQ(decode_pn(0x100, 0xff, 1), 0xff);
	T_EQ(decode_pn(QX_VARINT_MAX, 0, 1), QX_VARINT_MAX - 0xff); /* nothing above it */
	/* Within half a window around what is expected, each number comes back. */
	for (uint32_t len = 1; len <= 4; len++) {
		const uint64_t window = UINT64_C(1) << 8 * len;
		const uint64_t step = window / 256;

		for (uint64_t expected = 10 * window; expected < 11 * window;
		     expected += 37 * step + 1)
			for (uint64_t pn = expected - window / 2 + 1;
			     pn <= expected + window / 2; pn += step)
				T_EQ(decode_pn(expected, pn & (window - 1), len), pn);
	}
}

static void a_packet_cut_anywhere_is_refused(void)
{
	FOR_EACH_SUITE(s)
	{
		struct protect_opened o;
		struct packet p;

		open_pair(suites[s], V1);
		p = sealed();
		for (uint32_t len = 0; len < p.len_bytes; len++) {
			const int want = len < 1 + CID_BYTES + 4 + PROTECT_SAMPLE_BYTES
						 ? -EINVAL
						 : -EBADMSG;
			uint8_t *exact = malloc(len ? len : 1);

			memcpy(exact, p.bytes, len);
			T_EQ(protect_open_packet(pair.rx, exact, len, 1 + CID_BYTES, 0, &o),
			     want);
			free(exact);
		}
		opens_plainly(&p);
	}
}

/* Offsets come out of headers: the peer's to choose. */
static void impossible_offsets_are_refused(void)
{
	struct protect_opened o;
	uint8_t bytes[64] = {0x40};

	open_pair(QX_AES_128_GCM_SHA256, V1);
	T_EQ(protect_open_packet(pair.rx, bytes, 64, 0, 0, &o), -EINVAL);
	T_EQ(protect_open_packet(pair.rx, bytes, 64, 45, 0, &o), -EINVAL);
	T_EQ(protect_open_packet(pair.rx, bytes, 64, 65, 0, &o), -EINVAL);
	T_EQ(protect_open_packet(pair.rx, bytes, 64, UINT32_MAX, 0, &o), -EINVAL);
	T_EQ(protect_open_packet(pair.rx, bytes, 64, 44, 0, &o), -EBADMSG);
}

/* Long enough to sample, but the number as long as it claims leaves no payload: opened, and
 * the caller sees that there is none. */
static void a_packet_without_payload_is_opened_as_such(void)
{
	FOR_EACH_SUITE(s)
	{
		uint8_t packet[64] = {0x43};
		struct protect_opened o;

		open_pair(suites[s], V1);
		T_EQ(protect_seal(pair.tx, packet, 5, 4, 0, 0), 21);
		T_EQ(protect_open_packet(pair.rx, packet, 21, 1, 0, &o), 0);
		T_EQ(o.payload_len_bytes, 0);
		T_EQ(o.header_len_bytes, 5);
	}
}

static void a_bit_flipped_anywhere_is_refused(void)
{
	FOR_EACH_SUITE(s)
	{
		struct protect_opened o;
		struct packet p;

		open_pair(suites[s], V2);
		p = sealed();
		for (uint32_t bit = 0; bit < p.len_bytes * 8; bit++) {
			struct packet bad = p;

			bad.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			T_EQ(opened(&bad, &o), -EBADMSG);
		}
		T_EQ(protect_phase(pair.rx), 0);
		opens_plainly(&p);
	}
}

static void keys_of_another_connection_open_nothing(void)
{
	FOR_EACH_SUITE(s)
	{
		uint8_t secret[PROTECT_SECRET_MAX_BYTES] = {1};
		struct protect_opened o;
		struct packet p;

		open_pair(suites[s], V1);
		T_EQ(protect_open(&other, suites[s], V1, true, false, secret,
				  secret_bytes(suites[s])),
		     0);
		p = sealed();
		T_EQ(opened_by(other, &p, &o), -EBADMSG);
		opens_plainly(&p);
	}
}

/* The same secret under another version's labels. */
static void keys_of_another_version_open_nothing(void)
{
	struct protect_opened o;
	struct packet p;

	open_pair(QX_AES_128_GCM_SHA256, V1);
	other = half(QX_AES_128_GCM_SHA256, V2, true, false);
	p = sealed();
	T_EQ(opened_by(other, &p, &o), -EBADMSG);
	opens_plainly(&p);
}

static void unknown_suites_versions_and_lengths_are_refused(void)
{
	uint8_t secret[64] = {0};
	struct protect_half *h = NULL;

	T_EQ(protect_open(&h, 0x1304, V1, true, true, secret, 32), -EINVAL);
	T_EQ(protect_open(&h, 0, V1, true, true, secret, 32), -EINVAL);
	T_EQ(protect_open(&h, QX_AES_128_GCM_SHA256, 2, true, true, secret, 32), -EINVAL);
	T_EQ(protect_open(&h, QX_AES_128_GCM_SHA256, V1, true, true, secret, 31), -EINVAL);
	T_EQ(protect_open(&h, QX_AES_128_GCM_SHA256, V1, true, true, secret, 48), -EINVAL);
	T_EQ(protect_open(&h, QX_AES_256_GCM_SHA384, V1, true, true, secret, 32), -EINVAL);
	T_EQ(protect_open(&h, QX_AES_256_GCM_SHA384, V1, true, true, secret, UINT32_MAX),
	     -EINVAL);
#ifndef QX_FUZZING
	/* In what users run there is no cipher that does not encipher. */
	T_EQ(protect_open(&h, QX_NULL_CIPHER, V1, true, true, secret, 32), -EINVAL);
#endif
	T_CHECK(h == NULL);
	protect_close(NULL);
}

/* A repeated nonce would give away plaintexts and the authentication key. */
static void no_number_is_sealed_twice(void)
{
	uint8_t packet[64] = {0x40};

	open_pair(QX_AES_128_GCM_SHA256, V1);
	T_CHECK(protect_seal(pair.tx, packet, 2, 1, 20, 5) > 0);
	T_EQ(protect_seal(pair.tx, packet, 2, 1, 20, 5), -EINVAL);
	T_EQ(protect_seal(pair.tx, packet, 2, 1, 20, 4), -EINVAL);
	T_CHECK(protect_seal(pair.tx, packet, 2, 1, 20, 6) > 0);
	/* Nor after an update: the numbers go on (RFC 9001 section 6.1). */
	T_EQ(protect_update(pair.tx), 0);
	T_EQ(protect_seal(pair.tx, packet, 2, 1, 20, 6), -EINVAL);
	T_CHECK(protect_seal(pair.tx, packet, 2, 1, 20, QX_VARINT_MAX) > 0);
	T_EQ(protect_seal(pair.tx, packet, 2, 1, 20, QX_VARINT_MAX), -EINVAL);
	T_EQ(protect_seal(pair.tx, packet, 2, 1, 20, QX_VARINT_MAX + 1), -EINVAL);
}

static void what_cannot_be_sampled_is_not_sealed(void)
{
	uint8_t packet[64] = {0x40};

	open_pair(QX_AES_128_GCM_SHA256, V1);
	T_EQ(protect_seal(pair.tx, packet, 2, 1, 2, 0), -EINVAL);
	T_EQ(protect_seal(pair.tx, packet, 2, 0, 20, 0), -EINVAL);
	T_EQ(protect_seal(pair.tx, packet, 8, 5, 20, 0), -EINVAL);
	T_EQ(protect_seal(pair.tx, packet, 2, 2, 20, 0), -EINVAL);
	T_EQ(protect_sealed_cnt(pair.tx), 0);
	T_EQ(protect_seal(pair.tx, packet, 2, 1, 3, 0), 21);
	T_EQ(protect_sealed_cnt(pair.tx), 1);
}

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

static void packets_cost_no_allocation(void)
{
	FOR_EACH_SUITE(s)
	{
		struct protect_opened o;
		struct packet p, bad;
		uint64_t before;

		open_pair(suites[s], V1);
		before = alloc_cnt;
		for (int i = 0; i < 100; i++) {
			p = sealed();
			bad = p;
			bad.bytes[30] ^= 1;
			T_EQ(opened(&bad, &o), -EBADMSG);
			opens_plainly(&p);
			/* Nor does a forged phase bit. */
			bad = sealed_as(pair.next_pn++, 1, 50);
			T_EQ(opened(&bad, &o), -EBADMSG);
		}
		T_EQ(alloc_cnt, before);
	}
}

/* The queue belongs to the thread, and Python's ssl takes what it finds there for its own. */
static void failures_leave_libcryptos_error_queue_alone(void)
{
	FOR_EACH_SUITE(s)
	{
		struct protect_opened o;
		struct packet p;

		open_pair(suites[s], V1);
		ERR_raise(ERR_LIB_USER, 42);
		p = sealed();
		opens_plainly(&p);
		p.bytes[30] ^= 1;
		T_EQ(opened(&p, &o), -EBADMSG);
		T_EQ(protect_update(pair.rx), 0);
		T_EQ(ERR_GET_REASON(ERR_get_error()), 42);
		T_EQ(ERR_get_error(), 0);
	}
}

/* Every allocation of opening a half fails once. */
static void memory_running_out_while_opening_leaves_nothing(void)
{
	uint8_t secret[PROTECT_SECRET_MAX_BYTES] = {3};
	int err = -1;

	open_pair(QX_AES_256_GCM_SHA384, V1); /* libcrypto has loaded what it keeps */
	close_all();
	for (uint64_t nth = 1; err != 0; nth++) {
		T_CHECK(nth < 1000);
		alloc_cnt = 0;
		fail_at = nth;
		err = protect_open(&other, QX_AES_256_GCM_SHA384, V1, true, false, secret,
				   48);
		fail_at = 0;
		T_CHECK(err == 0 || ((err == -ENOMEM || err == -EIO) && !other));
		T_EQ(ERR_peek_error(), 0);
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
	{"packets equal those of the RFCs and aioquic",
	 packets_equal_those_of_the_rfcs_and_aioquic},
	{"packets of the RFCs and aioquic are opened",
	 packets_of_the_rfcs_and_aioquic_are_opened},
	{"packet numbers decode as in RFC 9000", packet_numbers_decode_as_in_rfc_9000},
	{"a packet cut anywhere is refused", a_packet_cut_anywhere_is_refused},
	{"impossible offsets are refused", impossible_offsets_are_refused},
	{"a packet without payload is opened as such",
	 a_packet_without_payload_is_opened_as_such},
	{"a bit flipped anywhere is refused", a_bit_flipped_anywhere_is_refused},
	{"keys of another connection open nothing", keys_of_another_connection_open_nothing},
	{"keys of another version open nothing", keys_of_another_version_open_nothing},
	{"unknown suites, versions and lengths are refused",
	 unknown_suites_versions_and_lengths_are_refused},
	{"no number is sealed twice", no_number_is_sealed_twice},
	{"what cannot be sampled is not sealed", what_cannot_be_sampled_is_not_sealed},
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
	{"packets cost no allocation", packets_cost_no_allocation},
	{"failures leave libcrypto's error queue alone",
	 failures_leave_libcryptos_error_queue_alone},
	{"memory running out while opening leaves nothing",
	 memory_running_out_while_opening_leaves_nothing},
	{"memory running out during an update loses no keys",
	 memory_running_out_during_an_update_loses_no_keys},
};

int main(int argc, char **argv)
{
	/* Before libcrypto's first allocation, or it refuses. */
	if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1) {
		printf("libcrypto takes no allocator\n");
		return 1;
	}
	t_after_each = close_all;
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
