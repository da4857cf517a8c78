/* contract_winxdp.c: the contract over XDP for Windows, simulated: two adapters on a cable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "winxdp_pair.h"

enum {
	HUB_PORT = 4433,
	CLIENT_PORT = 50000
};

#define STEP_NS 1000000ull

static uint64_t now_ns;

static void close_both(struct contract_pair *pair)
{
	struct sim_held held;

	for (uint32_t i = 0; i < CONTRACT_CLIENT_MAX; i++)
		qx_close(pair->clients[i]);
	qx_close(pair->hub);
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

static struct qx_addr address(uint32_t end, uint8_t family, uint8_t n, uint32_t port)
{
	struct qx_addr a = sim_addr(end, family, n);

	a.port = (uint16_t)port;
	return a;
}

static int open_both(struct contract_pair *pair, const struct contract_options *options,
		     char *why)
{
	struct qx_config cfg = {.socket_fd = -1,
				.flags = options->flags,
				.rx_frame_cnt = options->rx_frame_cnt,
				.tx_frame_cnt = options->tx_frame_cnt};
	int err;

	memset(pair, 0, sizeof(*pair));
	sim_reset();
	now_ns = STEP_NS;
	for (uint8_t n = 0; n < CONTRACT_HUB_ADDRESS_MAX; n++)
		pair->hub_addr[n] = address(1, options->family, n, HUB_PORT);
	cfg.local = pair->hub_addr[0];
	if (options->wildcard)
		cfg.local = (struct qx_addr){.family = options->family, .port = HUB_PORT};
	if ((err = winxdp_pair_open(&pair->hub, 1, &cfg, why)) < 0)
		goto close_all;
	for (uint32_t i = 0; i < options->client_cnt; i++) {
		cfg.local = address(0, options->family, 0, CLIENT_PORT + i);
		pair->client_addr[i] = cfg.local;
		if (options->connected)
			cfg.remote = pair->hub_addr[0];
		if ((err = winxdp_pair_open(&pair->clients[i], 0, &cfg, why)) < 0)
			goto close_all;
	}
	return 0;

close_all:
	close_both(pair);
	return err;
}

static int open_config(struct contract_pair *pair, struct qx_datapath **out,
		       const struct qx_config *cfg, char *why)
{
	(void)pair;
	return winxdp_pair_open(out, 1, cfg, why);
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
	.lane = QX_LANE_XDP,
	.hub_address_cnt = 2,
	.payload_max_v4 = SIM_MTU_BYTES - 28,
	.payload_max_v6 = SIM_MTU_BYTES - 48,
	.virtual_time = true,
	.open = open_both,
	.close = close_both,
	.open_config = open_config,
	.pump = pump,
	.now = now,
};

int main(int argc, char **argv)
{
	return contract_main(&winxdp_backend, argc, argv);
}
