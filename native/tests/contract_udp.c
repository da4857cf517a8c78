/* contract_udp.c: the contract suite over the kernel's UDP sockets, on a loopback
 * interface of our own with an Ethernet's MTU. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "contract_loopback.h"
#include "own_loopback.h"

enum {
	MTU_BYTES = 1500
};

static int setup(char *why)
{
	int err = own_loopback_enter(MTU_BYTES);

	if (err < 0)
		snprintf(why, QX_WHY_BYTES,
			 "no network namespace of our own: %s; run as root "
			 "or allow user namespaces",
			 strerror(-err));
	return err < 0 ? -1 : 0;
}

static const struct contract_backend udp_backend = {
	.name = "udp",
	.lane = QX_LANE_SOCKET,
	.hub_address_cnt_v4 = 2,
	.hub_address_cnt_v6 = 2,
	.payload_max_v4 = MTU_BYTES - 20 - 8,
	.payload_max_v6 = MTU_BYTES - 40 - 8,
	.setup = setup,
	.open = loopback_open,
	.close = contract_close,
	.open_config = loopback_open_config,
	.pump = contract_poll,
	.now = contract_monotonic,
};

int main(int argc, char **argv)
{
	return contract_main(&udp_backend, argc, argv);
}
