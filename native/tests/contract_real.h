/* contract_real.h: opening, progress and time for back ends whose other side is the kernel. */
#ifndef QX_CONTRACT_REAL_H
#define QX_CONTRACT_REAL_H

#include "contract.h"
#include "platform.h"

enum {
	CONTRACT_PUMP_MS = 2
};

/* Where endpoints are opened, which is all that differs. */
struct contract_place {
	uint8_t hub_last; /* last byte of the hub's first address */
	uint8_t client_last;
	struct qx_addr (*addr)(uint8_t family, uint8_t last, uint16_t port);
	int (*open_hub)(struct qx_datapath **out, struct qx_config *cfg, char *why);
	int (*open_client)(struct qx_datapath **out, struct qx_config *cfg, char *why);
};

static void contract_close(struct contract_pair *pair)
{
	for (uint32_t i = 0; i < CONTRACT_CLIENT_MAX; i++)
		qx_close(pair->clients[i]);
	qx_close(pair->hub);
}

static int contract_open(const struct contract_place *place, struct contract_pair *pair,
			 const struct contract_options *options, char *why)
{
	struct qx_config cfg = {
		.local = place->addr(options->family, place->hub_last, 0),
		.socket_fd = -1,
		.flags = options->flags,
		.rx_frame_cnt = options->rx_frame_cnt,
		.tx_frame_cnt = options->tx_frame_cnt,
	};
	struct qx_addr local;
	int err;

	if (options->wildcard)
		cfg.local = (struct qx_addr){.family = options->family};
	if ((err = place->open_hub(&pair->hub, &cfg, why)) < 0)
		return err;
	qx_local(pair->hub, &local);
	for (uint8_t i = 0; i < CONTRACT_HUB_ADDRESS_MAX; i++)
		pair->hub_addr[i] = place->addr(options->family,
						(uint8_t)(place->hub_last + i), local.port);

	cfg.local = place->addr(options->family, place->client_last, 0);
	if (options->connected)
		cfg.remote = pair->hub_addr[0];
	for (uint32_t i = 0; i < options->client_cnt; i++) {
		if ((err = place->open_client(&pair->clients[i], &cfg, why)) < 0) {
			contract_close(pair);
			return err;
		}
		qx_local(pair->clients[i], &pair->client_addr[i]);
	}
	return 0;
}

/* On loopback and veth what was sent has arrived when the sending call returns, so this only
 * sleeps where a test waits in vain for something that must not come. */
static void contract_poll(struct contract_pair *pair)
{
	struct qx_datapath *open[CONTRACT_CLIENT_MAX + 1];
	uint32_t cnt = 0;

	if (pair->hub)
		open[cnt++] = pair->hub;
	for (uint32_t i = 0; i < CONTRACT_CLIENT_MAX; i++)
		if (pair->clients[i])
			open[cnt++] = pair->clients[i];
	platform_pump(open, cnt, CONTRACT_PUMP_MS);
}

static uint64_t contract_monotonic(struct contract_pair *pair)
{
	(void)pair;
	return platform_now_ns();
}

#endif
