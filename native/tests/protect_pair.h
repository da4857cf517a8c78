/* protect_pair.h: two halves of packet protection that belong together, and an allocator
 * under libcrypto that counts and fails. */
#ifndef QX_PROTECT_PAIR_H
#define QX_PROTECT_PAIR_H

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

static const uint32_t suites[] = {QX_AES_128_GCM_SHA256, QX_AES_256_GCM_SHA384,
				  QX_CHACHA20_POLY1305_SHA256};

#define FOR_EACH_SUITE(i) for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)

static inline uint32_t secret_bytes(uint32_t suite)
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

static inline bool alloc_fails(void)
{
	return ++alloc_cnt == fail_at;
}

static inline void *counted_malloc(size_t bytes, const char *file, int line)
{
	(void)file, (void)line;
	return alloc_fails() ? NULL : malloc(bytes);
}

static inline void *counted_realloc(void *at, size_t bytes, const char *file, int line)
{
	(void)file, (void)line;
	return alloc_fails() ? NULL : realloc(at, bytes);
}

static inline void counted_free(void *at, const char *file, int line)
{
	(void)file, (void)line;
	free(at);
}

static inline void close_all(void)
{
	fail_at = 0;
	protect_close(pair.tx);
	protect_close(pair.rx);
	protect_close(other);
	pair = (struct pair){0};
	other = NULL;
}

static inline struct protect_half *half(uint32_t suite, uint32_t version, bool one_rtt,
					bool sending)
{
	uint8_t secret[PROTECT_SECRET_MAX_BYTES];
	struct protect_half *h = NULL;

	for (uint8_t i = 0; i < sizeof(secret); i++)
		secret[i] = (uint8_t)(i * 7 + suite);
	T_EQ(protect_open(&h, suite, version, one_rtt, sending, secret, secret_bytes(suite)),
	     0);
	return h;
}

static inline void open_pair(uint32_t suite, uint32_t version)
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

static inline struct packet sealed_as(uint64_t pn, uint32_t phase, uint32_t payload_len_bytes)
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

static inline struct packet sealed(void)
{
	return sealed_as(pair.next_pn++, protect_phase(pair.tx), 50);
}

static inline int opened_by(struct protect_half *h, const struct packet *p,
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

static inline int opened(const struct packet *p, struct protect_opened *out)
{
	return opened_by(pair.rx, p, out);
}

static inline void opens_plainly(const struct packet *p)
{
	struct protect_opened o;

	T_EQ(opened(p, &o), 0);
	T_CHECK(!o.updated && !o.old_phase);
}

/* protect_main runs the cases; before libcrypto's first allocation, or it refuses. */
static inline int protect_main(const struct t_case *cases, size_t cnt, int argc, char **argv)
{
	if (CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1) {
		printf("libcrypto takes no allocator\n");
		return 1;
	}
	t_after_each = close_all;
	return t_main(cases, cnt, argc, argv);
}

#define PROTECT_MAIN(cases)                                                                  \
	int main(int argc, char **argv)                                                      \
	{                                                                                    \
		return protect_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);    \
	}

#endif
