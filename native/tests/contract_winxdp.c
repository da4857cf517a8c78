/* contract_winxdp.c: the contract over XDP for Windows, simulated: two adapters on a cable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "winxdp_contract.h"

#define STEP_NS 1000000ull

static uint64_t now_ns;

static void close_both(struct contract_pair *pair)
{
	struct sim_held held;

	contract_close_fixed(pair);
	held = sim_held();
	if (held.handles || held.waits || held.ring_bytes || held.locked_bytes ||
	    sim_counts.violations || sim_counts.waits_refused) {
		printf("FAIL winxdp: %u handles, %u waits left, %llu violations, %llu waits "
		       "refused\n",
		       held.handles, held.waits, (unsigned long long)sim_counts.violations,
		       (unsigned long long)sim_counts.waits_refused);
		exit(1);
	}
}

static int open_both(struct contract_pair *pair, const struct contract_options *options,
		     char *why)
{
	sim_reset();
	now_ns = STEP_NS;
	return winxdp_contract_open(pair, options, why);
}

static void pump(struct contract_pair *pair)
{
	(void)pair;
	now_ns += STEP_NS;
	sim_step();
}

static uint64_t now(struct contract_pair *pair)
{
	(void)pair;
	return now_ns;
}

static const struct contract_backend winxdp_backend = {
	.name = "winxdp (simulated)",
	.open = open_both,
	.close = close_both,
	.pump = pump,
	.now = now,
	WINXDP_CONTRACT,
};

int main(int argc, char **argv)
{
	return contract_main(&winxdp_backend, argc, argv);
}
