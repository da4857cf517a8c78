/* route_load.c: the mirror's route table, filled and asked.
 *
 *      route_load TABLE [routes=N] [lookups=N]
 *
 * TABLE is ipv4 or ipv6 (lengths spread like the Internet's routing table, over random
 * networks), mixed (three quarters and one), or hosts6 (nothing but IPv6 host routes, the
 * longest way down).  Every lookup is of a random address below a random route, and starts
 * only when the one before has answered: it is the delay that is measured, not how many the
 * processor keeps under way at once.  One line of JSON at the end. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "quicxdp.h"
#include "routes.h"

/* splitmix64: a route and an address below it follow from the route's number, so that the
 * list of what is asked takes no room in the caches. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "route_load: %s\n", what);
	exit(1);
}

/* Lengths by hundredths, as in a full table of 2026: most of it is /24 and /48. */
struct lengths {
	uint8_t bits;
	uint8_t share;
};

static const struct lengths lengths_ipv4[] = {{24, 60}, {22, 11}, {23, 10}, {20, 5},
					      {21, 5},  {19, 3},  {16, 2},  {18, 1},
					      {17, 1},  {14, 1},  {32, 1}};
static const struct lengths lengths_ipv6[] = {{48, 50}, {32, 11}, {44, 11}, {40, 10}, {36, 5},
					      {29, 4},  {64, 4},  {46, 4},  {128, 1}};

struct prefix {
	uint8_t ip[16];
	uint8_t family;
};

/* The address of the route with this number. */
static inline struct prefix prefix_of(uint32_t number, uint32_t ipv4_quarters)
{
	struct prefix p = {.family = number % 4 < ipv4_quarters ? QX_IPV4 : QX_IPV6};
	uint64_t words[2] = {mix(2 * number), mix(2 * number + 1)};

	memcpy(p.ip, words, 16);
	if (p.family == QX_IPV4)
		p.ip[0] = (uint8_t)(1 + p.ip[0] % 223);
	else
		p.ip[0] = 0x20 | (p.ip[0] & 0x0f);
	return p;
}

static uint32_t bits_of(uint32_t number, uint8_t family, bool hosts)
{
	const struct lengths *l = family == QX_IPV4 ? lengths_ipv4 : lengths_ipv6;
	uint32_t of = (uint32_t)(mix(~(uint64_t)number) % 100);

	if (hosts)
		return 128;
	while (of >= l->share)
		of -= l++->share;
	return l->bits;
}

static double lookup_ns(struct qx_routes *r, uint32_t routes, uint32_t ipv4_quarters,
			uint32_t lookups)
{
	uint64_t start_ns = now_ns();
	uint32_t at = 0;

	for (uint32_t i = 0; i < lookups; i++) {
		struct prefix p = prefix_of(at, ipv4_quarters);
		uint32_t hop = routes_find(r, p.family, p.ip);

		if (hop == ROUTES_NOT_FOUND)
			die("a route that was entered is not found");
		/* Hops are small: this adds nothing, which only the answer tells. */
		at += 1 + (hop >> 15);
		if (at >= routes)
			at = 0;
	}
	return (double)(now_ns() - start_ns) / lookups;
}

int main(int argc, char **argv)
{
	uint32_t routes = 100000, lookups = 2000000, ipv4_quarters, number = 0;
	uint64_t start_ns, fill_ns;
	struct qx_routes *r;
	bool hosts;

	if (argc < 2)
		die("usage: route_load ipv4|ipv6|mixed|hosts6 [routes=N] [lookups=N]");
	for (int i = 2; i < argc; i++)
		if (sscanf(argv[i], "routes=%u", &routes) != 1 &&
		    sscanf(argv[i], "lookups=%u", &lookups) != 1)
			die(argv[i]);
	if (routes == 0 || lookups == 0)
		die("routes and lookups must be positive");
	hosts = !strcmp(argv[1], "hosts6");
	ipv4_quarters = !strcmp(argv[1], "ipv4") ? 4 : !strcmp(argv[1], "mixed") ? 3 : 0;
	if (routes_open(&r) < 0)
		die("no memory");
	start_ns = now_ns();
	for (; routes_cnt(r) < routes; number++) {
		struct prefix p = prefix_of(number, ipv4_quarters);
		struct route route = {.hop = (uint16_t)(1 + number % 64)};

		if (routes_add(r, p.family, p.ip, bits_of(number, p.family, hosts), &route) <
		    0)
			die("the table is full");
	}
	fill_ns = now_ns() - start_ns;
	lookup_ns(r, number, ipv4_quarters, number); /* as warm as it gets */
	printf("{\"table\": \"%s\", \"routes\": %u, \"lookup_ns\": %.1f, \"bytes\": %zu, "
	       "\"add_ns\": %.0f}\n",
	       argv[1], routes_cnt(r), lookup_ns(r, number, ipv4_quarters, lookups),
	       routes_bytes(r), (double)fill_ns / routes);
	routes_close(r);
	return 0;
}
