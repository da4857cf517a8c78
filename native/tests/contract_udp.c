/* contract_udp.c: the contract suite over the kernel's UDP sockets, on a loopback
 * interface of our own with an Ethernet's MTU. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "contract_real.h"
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

/* 127.0.0.last or ::last. */
static struct qx_addr loopback(uint8_t family, uint8_t last, uint16_t port)
{
	struct qx_addr a = {.family = family, .port = port};

	if (family == QX_IPV4) {
		a.ip[0] = 127;
		a.ip[3] = last;
	} else {
		a.ip[15] = last;
	}
	return a;
}

static int open_one(struct qx_datapath **out, struct qx_config *cfg, char *why)
{
	return qx_open(out, cfg, why);
}

static const struct contract_place localhost = {
	.hub_last = 1,
	.client_last = 1,
	.addr = loopback,
	.open_hub = open_one,
	.open_client = open_one,
};

static int open_udp(struct contract_pair *pair, const struct contract_options *options,
		    char *why)
{
	return contract_open(&localhost, pair, options, why);
}

static int open_config(struct contract_pair *pair, struct qx_datapath **out,
		       const struct qx_config *cfg, char *why)
{
	(void)pair;
	return qx_open(out, cfg, why);
}

static const struct contract_backend udp_backend = {
	.name = "udp",
	.lane = QX_LANE_SOCKET,
	.hub_address_cnt = 2,
	.payload_max_v4 = MTU_BYTES - 20 - 8,
	.payload_max_v6 = MTU_BYTES - 40 - 8,
	.setup = setup,
	.open = open_udp,
	.close = contract_close,
	.open_config = open_config,
	.pump = contract_poll,
	.now = contract_monotonic,
};

int main(int argc, char **argv)
{
	return contract_main(&udp_backend, argc, argv);
}
