/* datapath_memory.c: a datapath over the simulated NIC. */
#include "datapath.h"
#include "memory.h"
#include "why.h"

struct end_of_link {
	struct qx_link *link;
	uint32_t end;
};

static int open_end(struct qx_nic **out, const struct qx_config *cfg, void *arg, char *why)
{
	const struct qx_nic_config nic_cfg = {
		.rx_frame_cnt = cfg->rx_frame_cnt,
		.tx_frame_cnt = cfg->tx_frame_cnt,
	};
	const struct end_of_link *at = arg;

	return memory_nic_open(out, at->link, at->end, &nic_cfg, &cfg->local, why);
}

int qx_open_memory(struct qx_datapath **out, struct qx_link *link, uint32_t end,
		   const struct qx_config *cfg, char *why)
{
	struct end_of_link at = {link, end};

	return datapath_open_simulated(out, cfg, open_end, &at, why);
}
