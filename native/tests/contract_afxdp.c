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

static int open_hub(struct qx_datapath **out, struct qx_config *cfg, char *why)
{
	return open_at(NETNS_B, out, cfg, why);
}

static int open_client(struct qx_datapath **out, struct qx_config *cfg, char *why)
{
	return open_at(NETNS_A, out, cfg, why);
}

static const struct contract_place cable = {
	.hub_last = 2,
	.client_last = 1,
	.addr = netns_addr,
	.open_hub = open_hub,
	.open_client = open_client,
};

static int open_both(struct contract_pair *pair, const struct contract_options *options,
		     char *why)
{
	return contract_open(&cable, pair, options, why);
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
	.hub_address_cnt_v4 = 2,
	.hub_address_cnt_v6 = 2,
	.payload_max_v4 = MTU_BYTES - 20 - 8,
	.payload_max_v6 = MTU_BYTES - 40 - 8,
	.setup = netns_open,
	.open = open_both,
	.close = contract_close,
	.open_config = open_config,
	.pump = contract_poll,
	.now = contract_monotonic,
};

int main(int argc, char **argv)
{
	return contract_main(&afxdp_backend, argc, argv);
}
