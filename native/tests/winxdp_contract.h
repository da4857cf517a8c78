/* winxdp_contract.h: the contract's endpoints on two adapters that are joined by a cable: the
 * hub on one, clients on the other.  The addresses are those of sim_addr (RFC 5737, RFC 3849),
 * which need not be configured anywhere: rules and frames name them, nobody else sees them. */
#ifndef QX_WINXDP_CONTRACT_H
#define QX_WINXDP_CONTRACT_H

#include "contract.h"
#include "winxdp_pair.h"

enum {
	WINXDP_HUB_PORT = 4433,
	WINXDP_CLIENT_PORT = 50000
};

static void winxdp_contract_close(struct contract_pair *pair)
{
	for (uint32_t i = 0; i < CONTRACT_CLIENT_MAX; i++)
		qx_close(pair->clients[i]);
	qx_close(pair->hub);
}

static struct qx_addr winxdp_contract_addr(uint32_t end, uint8_t family, uint8_t n,
					   uint32_t port)
{
	struct qx_addr a = sim_addr(end, family, n);

	a.port = (uint16_t)port;
	return a;
}

static int winxdp_contract_open(struct contract_pair *pair,
				const struct contract_options *options, char *why)
{
	struct qx_config cfg = {.socket_fd = -1,
				.flags = options->flags,
				.rx_frame_cnt = options->rx_frame_cnt,
				.tx_frame_cnt = options->tx_frame_cnt};
	int err;

	memset(pair, 0, sizeof(*pair));
	for (uint8_t n = 0; n < CONTRACT_HUB_ADDRESS_MAX; n++)
		pair->hub_addr[n] =
			winxdp_contract_addr(1, options->family, n, WINXDP_HUB_PORT);
	cfg.local = pair->hub_addr[0];
	if (options->wildcard)
		cfg.local =
			(struct qx_addr){.family = options->family, .port = WINXDP_HUB_PORT};
	if ((err = winxdp_pair_open(&pair->hub, 1, &cfg, why)) < 0)
		goto close_all;
	for (uint32_t i = 0; i < options->client_cnt; i++) {
		cfg.local =
			winxdp_contract_addr(0, options->family, 0, WINXDP_CLIENT_PORT + i);
		pair->client_addr[i] = cfg.local;
		if (options->connected)
			cfg.remote = pair->hub_addr[0];
		if ((err = winxdp_pair_open(&pair->clients[i], 0, &cfg, why)) < 0)
			goto close_all;
	}
	return 0;

close_all:
	winxdp_contract_close(pair);
	return err;
}

static int winxdp_contract_open_config(struct contract_pair *pair, struct qx_datapath **out,
				       const struct qx_config *cfg, char *why)
{
	(void)pair;
	return winxdp_pair_open(out, 1, cfg, why);
}

/* The backend but for its name, pump, clock, and what opening and closing do besides. */
#define WINXDP_CONTRACT                                                                      \
	.lane = QX_LANE_XDP, .hub_address_cnt_v4 = 2, .hub_address_cnt_v6 = 2,               \
	.payload_max_v4 = SIM_MTU_BYTES - 28, .payload_max_v6 = SIM_MTU_BYTES - 48,          \
	.virtual_time = true, .open_config = winxdp_contract_open_config

#endif
