/* contract_fixed.h: opening a hub and clients at addresses and ports that the back end names,
 * where no kernel picks any: simulated NICs, and adapters whose stack is not asked. */
#ifndef QX_CONTRACT_FIXED_H
#define QX_CONTRACT_FIXED_H

#include <string.h>

#include "contract.h"

enum {
	CONTRACT_HUB_PORT = 4433,
	CONTRACT_CLIENT_PORT = 50000,
	/* The two ends of the cable. */
	CONTRACT_CLIENT_END = 0,
	CONTRACT_HUB_END = 1
};

/* What differs: the n-th address of an end (without its port), and opening there. */
struct contract_cable {
	struct qx_addr (*addr)(uint32_t end, uint8_t family, uint8_t n);
	int (*open)(struct qx_datapath **out, uint32_t end, const struct qx_config *cfg,
		    char *why);
};

static void contract_close_fixed(struct contract_pair *pair)
{
	for (uint32_t i = 0; i < CONTRACT_CLIENT_MAX; i++)
		qx_close(pair->clients[i]);
	qx_close(pair->hub);
}

static struct qx_addr contract_fixed_addr(const struct contract_cable *cable, uint32_t end,
					  uint8_t family, uint8_t n, uint32_t port)
{
	struct qx_addr a = cable->addr(end, family, n);

	a.port = (uint16_t)port;
	return a;
}

static int contract_open_fixed(const struct contract_cable *cable, struct contract_pair *pair,
			       const struct contract_options *options, char *why)
{
	struct qx_config cfg = {.socket_fd = -1,
				.flags = options->flags,
				.rx_frame_cnt = options->rx_frame_cnt,
				.tx_frame_cnt = options->tx_frame_cnt};
	int err;

	memset(pair, 0, sizeof(*pair));
	for (uint8_t n = 0; n < CONTRACT_HUB_ADDRESS_MAX; n++)
		pair->hub_addr[n] = contract_fixed_addr(
			cable, CONTRACT_HUB_END, options->family, n, CONTRACT_HUB_PORT);
	cfg.local = pair->hub_addr[0];
	if (options->wildcard)
		cfg.local = (struct qx_addr){.family = options->family,
					     .port = CONTRACT_HUB_PORT};
	if ((err = cable->open(&pair->hub, CONTRACT_HUB_END, &cfg, why)) < 0)
		return err;
	for (uint32_t i = 0; i < options->client_cnt; i++) {
		cfg.local = contract_fixed_addr(cable, CONTRACT_CLIENT_END, options->family,
						0, CONTRACT_CLIENT_PORT + i);
		pair->client_addr[i] = cfg.local;
		if (options->connected)
			cfg.remote = pair->hub_addr[0];
		err = cable->open(&pair->clients[i], CONTRACT_CLIENT_END, &cfg, why);
		if (err < 0) {
			contract_close_fixed(pair);
			return err;
		}
	}
	return 0;
}

#endif
