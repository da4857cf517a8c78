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

static void close_udp(struct contract_pair *pair)
{
	for (uint32_t i = 0; i < CONTRACT_CLIENT_MAX; i++)
		qx_close(pair->clients[i]);
	qx_close(pair->hub);
}

static int open_udp(struct contract_pair *pair, const struct contract_options *options,
		    char *why)
{
	struct qx_config cfg = {
		.local = loopback(options->family, 1, 0),
		.socket_fd = -1,
		.flags = options->flags,
		.rx_frame_cnt = options->rx_frame_cnt,
		.tx_frame_cnt = options->tx_frame_cnt,
	};
	struct qx_addr local;
	int err;

	if (options->wildcard)
		cfg.local = (struct qx_addr){.family = options->family};
	if ((err = qx_open(&pair->hub, &cfg, why)) < 0)
		return err;
	qx_local(pair->hub, &local);
	pair->hub_addr[0] = loopback(options->family, 1, local.port);
	pair->hub_addr[1] = loopback(options->family, 2, local.port);

	cfg.local = loopback(options->family, 1, 0);
	if (options->connected)
		cfg.remote = pair->hub_addr[0];
	for (uint32_t i = 0; i < options->client_cnt; i++) {
		if ((err = qx_open(&pair->clients[i], &cfg, why)) < 0) {
			close_udp(pair);
			return err;
		}
		qx_local(pair->clients[i], &pair->client_addr[i]);
	}
	return 0;
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
	.close = close_udp,
	.open_config = open_config,
	.pump = contract_poll,
	.now = contract_monotonic,
};

int main(int argc, char **argv)
{
	return contract_main(&udp_backend, argc, argv);
}
