/* nic_win.c: which back end has the rings of a named interface on Windows. */
#include <errno.h>

#include "nic.h"
#include "why.h"

int nic_open(struct qx_nic **out, const struct qx_nic_config *cfg, char *why)
{
	(void)out;
	why_set(why,
		"%s: this build has no back end for XDP for Windows; open the endpoint "
		"without an interface, over sockets",
		cfg->interface);
	return -EOPNOTSUPP;
}
