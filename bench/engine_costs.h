/* engine_costs.h: what each step of engine_load has taken: the thread's CPU time, and
 * allocations, libcrypto's among them. */
#ifndef BENCH_ENGINE_COSTS_H
#define BENCH_ENGINE_COSTS_H

#include <openssl/crypto.h>

#include "allocations.h"
#include "load.h"

enum step {
	SEND,
	RECEIVE,
	ACK_WRITE,
	ACK,
	SEAL,
	OPEN,
	DP_SEND,
	DP_RECEIVE,
	STEP_CNT
};

struct cost {
	uint64_t ns;
	uint64_t allocations;
	uint64_t laps;
};

static struct cost costs[STEP_CNT];
static uint64_t lap_ns, lap_allocations, clock_ns, crypto_allocations;

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void lap_start(void)
{
	lap_allocations = allocation_cnt + crypto_allocations;
	lap_ns = cpu_ns();
}

static void lap(enum step step)
{
	const uint64_t now = cpu_ns(), taken = now - lap_ns;

	costs[step].ns += taken > clock_ns ? taken - clock_ns : 0;
	costs[step].laps++;
	costs[step].allocations += allocation_cnt + crypto_allocations - lap_allocations;
	lap_start();
}

static void calibrate(void)
{
	enum {
		CALLS = 2000
	};
	const uint64_t start = cpu_ns();

	for (int i = 1; i < CALLS; i++)
		cpu_ns();
	clock_ns = (cpu_ns() - start) / CALLS;
}

/* libcrypto is a shared library: its allocations come here by its own hook. */
static void *crypto_malloc(size_t size, const char *file, int line)
{
	(void)file, (void)line;
	crypto_allocations++;
	return __real_malloc(size);
}

static void *crypto_realloc(void *old, size_t size, const char *file, int line)
{
	(void)file, (void)line;
	crypto_allocations++;
	return __real_realloc(old, size);
}

static void crypto_free(void *old, const char *file, int line)
{
	(void)file, (void)line;
	free(old);
}

#endif
