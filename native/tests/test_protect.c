/* test_protect.c: packets as the RFCs and aioquic seal them, and what a peer or somebody on
 * the path can do about it.  What happens to keys: test_protect_updates.c. */
#include "protect_pair.h"

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

/* Whichever of the two a version of libcrypto has us use, the other one is its twin. */
static void providers_and_methods_make_the_same_packets(void)
{
	enum {
		HEADER_BYTES = 11,
		PAYLOAD_MAX_BYTES = 300
	};
	static const uint8_t key[PROTECT_KEY_MAX_BYTES] = {9, 8, 7};

	FOR_EACH_SUITE(s)
	{
		const struct suite *suite = suite_find(suites[s]);
		struct aead used[2] = {0}, provider[2] = {0};

		for (int i = 0; i < 2; i++) {
			T_EQ(aead_open(&used[i], suite, key, i == 0), 0);
			T_EQ(cipher_open(&provider[i].ctx, suite->aead, key, i == 0), 0);
		}
		for (uint32_t len = 0; len <= PAYLOAD_MAX_BYTES; len++) {
			const uint8_t nonce[PROTECT_IV_BYTES] = {(uint8_t)len, 1};
			uint8_t a[ROOM] = {0x40, 2}, b[ROOM] = {0x40, 2};
			const uint32_t size = HEADER_BYTES + len + PROTECT_TAG_BYTES;

			T_CHECK(aead_seal(&used[0], nonce, a, HEADER_BYTES, len));
			T_CHECK(aead_seal(&provider[0], nonce, b, HEADER_BYTES, len));
			T_CHECK(memcmp(a, b, size) == 0);
			T_CHECK(aead_unseal(&provider[1], nonce, a, HEADER_BYTES, len));
			b[size - 1] ^= 1;
			T_CHECK(!aead_unseal(&used[1], nonce, b, HEADER_BYTES, len));
			/* Which has put the payload where it was sealed. */
			T_CHECK(aead_seal(&provider[0], nonce, a, HEADER_BYTES, len));
			T_CHECK(aead_unseal(&used[1], nonce, a, HEADER_BYTES, len));
			for (uint32_t i = 0; i < len; i++)
				T_EQ(a[HEADER_BYTES + i], 0);
		}
		for (int i = 0; i < 2; i++) {
			aead_close(&used[i]);
			aead_close(&provider[i]);
		}
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
	{"providers and methods make the same packets",
	 providers_and_methods_make_the_same_packets},
	{"packets cost no allocation", packets_cost_no_allocation},
	{"failures leave libcrypto's error queue alone",
	 failures_leave_libcryptos_error_queue_alone},
	{"memory running out while opening leaves nothing",
	 memory_running_out_while_opening_leaves_nothing},
};

PROTECT_MAIN(cases)
