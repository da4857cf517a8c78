/* winxdp_pair.h: datapaths over XDP for Windows on the two ends of a cable, the simulated one
 * unless a program says otherwise. */
#ifndef QX_WINXDP_PAIR_H
#define QX_WINXDP_PAIR_H

#include "datapath.h"
#include "sim_windows.h"

static const struct winxdp_nt *winxdp_pair_nt = &sim_nt;
static struct winxdp_adapter (*winxdp_pair_adapter)(uint32_t end) = sim_adapter;

/* The NICs that are open, for further endpoints on them. */
static struct qx_nic *winxdp_nics[SIM_ADAPTER_CNT];
static struct qx_nic_ops winxdp_counted_ops;

static void winxdp_close_counted(struct qx_nic *nic)
{
	for (uint32_t end = 0; end < SIM_ADAPTER_CNT; end++)
		if (winxdp_nics[end] == nic)
			winxdp_nics[end] = NULL;
	winxdp_close(nic);
}

static int winxdp_open_end(struct qx_nic **out, const struct qx_config *cfg, void *arg,
			   char *why)
{
	uint32_t end = *(const uint32_t *)arg;
	struct winxdp_adapter adapter = winxdp_pair_adapter(end);
	struct qx_nic_config nic_cfg = {.rx_frame_cnt = cfg->rx_frame_cnt,
					.tx_frame_cnt = cfg->tx_frame_cnt};
	struct qx_nic *nic;
	int err;

	if (winxdp_nics[end]) {
		*out = winxdp_nics[end];
		return 0;
	}
	snprintf(nic_cfg.interface, sizeof(nic_cfg.interface), "Ethernet %u", end);
	err = winxdp_open(&nic, winxdp_pair_nt, &adapter, &nic_cfg, why);
	if (err < 0)
		return err;
	winxdp_counted_ops = winxdp_ops;
	winxdp_counted_ops.close = winxdp_close_counted;
	nic->ops = &winxdp_counted_ops;
	/* A cable: whoever is asked for is at its other end. */
	nic->has_peer_mac = 1;
	memcpy(nic->peer_mac, winxdp_pair_adapter(1 - end).mac, sizeof(nic->peer_mac));
	winxdp_nics[end] = nic;
	*out = nic;
	return 0;
}

static inline int winxdp_pair_open(struct qx_datapath **out, uint32_t end,
				   const struct qx_config *cfg, char *why)
{
	return datapath_open_simulated(out, cfg, winxdp_open_end, &end, why);
}

#endif
