/* nic_win.c: a named adapter's NIC on Windows is XDP for Windows, and Windows is asked for the
 * ways to peers that were not heard yet. */
#include <string.h>

#include "adapter_win.h"
#include "neigh_win.h"
#include "nic.h"
#include "why.h"
#include "winxdp.h"

int nic_open(struct qx_nic **out, const struct qx_nic_config *cfg, char *why)
{
	struct winxdp_adapter adapter;
	struct qx_nic *nic;
	int err = adapter_find(&adapter, cfg->interface, why);

	if (err < 0)
		return err;
	if ((err = winxdp_open(&nic, &winxdp_ntdll, &adapter, cfg, why)) < 0)
		return err;
	if ((err = neigh_win_join(nic)) < 0) {
		why_set(why, "%s: a thread that asks Windows for ways to peers: %s",
			nic->name, strerror(-err));
		nic->ops->close(nic);
		return err;
	}
	*out = nic;
	return 0;
}
