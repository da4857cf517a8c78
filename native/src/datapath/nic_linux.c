/* nic_linux.c: which back end has the rings of a named interface on Linux. */
#include "nic.h"

int nic_open(struct qx_nic **out, const struct qx_nic_config *cfg, char *why)
{
	return afxdp_open(out, cfg, why);
}
