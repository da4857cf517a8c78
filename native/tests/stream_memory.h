/* stream_memory.h: pools, and a record of released tokens, for tests of streams. */
#ifndef QX_STREAM_MEMORY_H
#define QX_STREAM_MEMORY_H

#include <stdint.h>

#include "stream.h"
#include "t.h"

enum {
	TOKENS_MAX = 4096,
	TEST_BLOCK_BYTES = 256
};

static struct pool test_chunks, test_nodes;
static struct bufs test_bufs;
static uint8_t tokens_released[TOKENS_MAX]; /* how often each was */
static uint32_t tokens_cnt;

static inline void token_released(void *arg, uint64_t token)
{
	(void)arg;
	T_CHECK(token < TOKENS_MAX);
	tokens_released[token]++;
	tokens_cnt++;
}

static const struct send_env test_env = {&test_chunks, &test_nodes, token_released, NULL};

static inline void memory_begin(void)
{
	pool_init(&test_chunks, TEST_BLOCK_BYTES, 64);
	pool_init(&test_nodes, sizeof(struct send_chunk), 64);
	bufs_init(&test_bufs);
	memset(tokens_released, 0, sizeof(tokens_released));
	tokens_cnt = 0;
}

/* memory_end fails the test unless everything came back. */
static inline void memory_end(void)
{
	T_EQ(test_chunks.lent_cnt, 0);
	T_EQ(test_nodes.lent_cnt, 0);
	T_EQ(test_bufs.lent_cnt, 0);
	pool_free(&test_chunks);
	pool_free(&test_nodes);
	bufs_free(&test_bufs);
}

/* The byte at an offset of the stream that tests send. */
static inline uint8_t byte_at(uint64_t off)
{
	return (uint8_t)(off * 131 + (off >> 8) * 17 + (off >> 16));
}

static inline void bytes_at(uint8_t *out, uint64_t off, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		out[i] = byte_at(off + i);
}

static inline int bytes_are(const uint8_t *got, uint64_t off, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		if (got[i] != byte_at(off + i))
			return 0;
	return 1;
}

#endif
