/* winxdp_contract.h: the contract's endpoints on two adapters that are joined by a cable: the
 * hub on one, clients on the other.  The addresses are those of sim_addr (RFC 5737, RFC 3849),
 * which need not be configured anywhere: rules and frames name them, nobody else sees them. */
#ifndef QX_WINXDP_CONTRACT_H
#define QX_WINXDP_CONTRACT_H

#include "contract_fixed.h"
#include "winxdp_pair.h"

static const struct contract_cable winxdp_cable = {.addr = sim_addr,
						   .open = winxdp_pair_open};

static int winxdp_contract_open(struct contract_pair *pair,
				const struct contract_options *options, char *why)
{
	return contract_open_fixed(&winxdp_cable, pair, options, why);
}

static int winxdp_contract_open_config(struct contract_pair *pair, struct qx_datapath **out,
				       const struct qx_config *cfg, char *why)
{
	(void)pair;
	return winxdp_pair_open(out, CONTRACT_HUB_END, cfg, why);
}

/* The backend but for its name, pump, clock, and what opening and closing do besides. */
#define WINXDP_CONTRACT                                                                      \
	.lane = QX_LANE_XDP, .hub_address_cnt_v4 = 2, .hub_address_cnt_v6 = 2,               \
	.payload_max_v4 = SIM_MTU_BYTES - 28, .payload_max_v6 = SIM_MTU_BYTES - 48,          \
	.virtual_time = true, .open_config = winxdp_contract_open_config

#endif
