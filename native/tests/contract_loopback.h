/* contract_loopback.h: pairs of endpoints over the kernel's UDP sockets on loopback. */
#ifndef QX_CONTRACT_LOOPBACK_H
#define QX_CONTRACT_LOOPBACK_H

#include "contract_real.h"

/* 127.0.0.last or ::last. */
static struct qx_addr loopback_addr(uint8_t family, uint8_t last, uint16_t port)
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

static int loopback_open_one(struct qx_datapath **out, struct qx_config *cfg, char *why)
{
	return qx_open(out, cfg, why);
}

static const struct contract_place loopback_place = {
	.hub_last = 1,
	.client_last = 1,
	.addr = loopback_addr,
	.open_hub = loopback_open_one,
	.open_client = loopback_open_one,
};

static int loopback_open(struct contract_pair *pair, const struct contract_options *options,
			 char *why)
{
	return contract_open(&loopback_place, pair, options, why);
}

static int loopback_open_config(struct contract_pair *pair, struct qx_datapath **out,
				const struct qx_config *cfg, char *why)
{
	(void)pair;
	return qx_open(out, cfg, why);
}

#endif
