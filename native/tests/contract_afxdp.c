/* contract_afxdp.c: the contract suite over AF_XDP at both ends of a veth cable with two
 * queues.
 *
 * One thread drives both: an endpoint belongs to the namespace that it was opened in, so
 * clients are opened in one and the hub in the other. */
#define _GNU_SOURCE

#include "contract_real.h"
#include "netns.h"

enum {
	MTU_BYTES = 1500
};

static int open_at(int side, struct qx_datapath **out, struct qx_config *cfg, char *why)
{
	int err = netns_enter(side);

	if (err)
		return err;
	snprintf(cfg->interface, sizeof(cfg->interface), side == NETNS_A ? "qxa" : "qxb");
	err = qx_open(out, cfg, why);
	netns_enter(NETNS_A);
	return err;
}

static void close_both(struct contract_pair *pair)
{
	for (uint32_t i = 0; i < CONTRACT_CLIENT_MAX; i++)
		qx_close(pair->clients[i]);
	qx_close(pair->hub);
}

static int open_both(struct contract_pair *pair, const struct contract_options *options,
		     char *why)
{
	struct qx_config cfg = {
		.local = netns_addr(options->family, 2, 0),
		.socket_fd = -1,
		.flags = options->flags,
		.rx_frame_cnt = options->rx_frame_cnt,
		.tx_frame_cnt = options->tx_frame_cnt,
	};
	struct qx_addr local;
	int err;

	if (options->wildcard)
		cfg.local = (struct qx_addr){.family = options->family};
	err = open_at(NETNS_B, &pair->hub, &cfg, why);
	if (err)
		return err;
	qx_local(pair->hub, &local);
	for (uint8_t i = 0; i < CONTRACT_HUB_ADDRESS_MAX; i++)
		pair->hub_addr[i] = netns_addr(options->family, (uint8_t)(2 + i), local.port);

	cfg.local = netns_addr(options->family, 1, 0);
	if (options->connected)
		cfg.remote = pair->hub_addr[0];
	for (uint32_t i = 0; i < options->client_cnt; i++) {
		err = open_at(NETNS_A, &pair->clients[i], &cfg, why);
		if (err) {
			close_both(pair);
			return err;
		}
		qx_local(pair->clients[i], &pair->client_addr[i]);
	}
	return 0;
}

static int open_config(struct contract_pair *pair, struct qx_datapath **out,
		       const struct qx_config *cfg, char *why)
{
	struct qx_config with_interface = *cfg;

	(void)pair;
	return open_at(NETNS_B, out, &with_interface, why);
}

static const struct contract_backend afxdp_backend = {
	.name = "afxdp",
	.lane = QX_LANE_XDP,
	.hub_address_cnt = 2,
	.payload_max_v4 = MTU_BYTES - 20 - 8,
	.payload_max_v6 = MTU_BYTES - 40 - 8,
	.setup = netns_open,
	.open = open_both,
	.close = close_both,
	.open_config = open_config,
	.pump = contract_poll,
	.now = contract_monotonic,
};

int main(int argc, char **argv)
{
	return contract_main(&afxdp_backend, argc, argv);
}
