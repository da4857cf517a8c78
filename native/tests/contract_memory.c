/* contract_memory.c: the contract over the simulated NIC, on virtual time. */
#include <errno.h>
#include <string.h>

#include "contract.h"

enum {
	HUB_PORT = 4433,
	CLIENT_PORT = 50000
};

#define DELAY_NS 1000000ull

struct state {
	struct qx_link *link;
	uint64_t now_ns;
};

static struct state state;

static struct qx_addr address(uint8_t family, uint8_t host, uint16_t port)
{
	struct qx_addr a = {.family = family, .port = port};

	if (family == QX_IPV4)
		memcpy(a.ip, (uint8_t[]){192, 0, 2, host}, 4);
	else
		memcpy(a.ip, (uint8_t[]){0x20, 1, 0xd, 0xb8, [15] = host}, 16);
	return a;
}

static void close_memory(struct contract_pair *pair)
{
	for (uint32_t i = 0; i < CONTRACT_CLIENT_MAX; i++)
		qx_close(pair->clients[i]);
	qx_close(pair->hub);
	qx_link_close(state.link);
	state.link = NULL;
}

static int open_memory(struct contract_pair *pair, const struct contract_options *options,
		       char *why)
{
	const struct qx_link_config wire = {.seed = 1, .delay_ns = DELAY_NS};
	struct qx_config cfg = {.socket_fd = -1,
				.flags = options->flags,
				.rx_frame_cnt = options->rx_frame_cnt,
				.tx_frame_cnt = options->tx_frame_cnt};
	int err;

	memset(pair, 0, sizeof(*pair));
	pair->state = &state;
	state.now_ns = DELAY_NS;
	if ((err = qx_link_open(&state.link, &wire)) < 0)
		return err;
	cfg.local = pair->hub_addr[0] = address(options->family, 1, HUB_PORT);
	if ((err = qx_open_memory(&pair->hub, state.link, 1, &cfg, why)) < 0)
		goto close_all;
	for (uint32_t i = 0; i < options->client_cnt; i++) {
		cfg.local = address(options->family, 2, (uint16_t)(CLIENT_PORT + i));
		pair->client_addr[i] = cfg.local;
		if (options->connected)
			cfg.remote = pair->hub_addr[0];
		err = qx_open_memory(&pair->clients[i], state.link, 0, &cfg, why);
		if (err < 0)
			goto close_all;
	}
	return 0;

close_all:
	close_memory(pair);
	return err;
}

static int open_config(struct contract_pair *pair, struct qx_datapath **out,
		       const struct qx_config *cfg, char *why)
{
	(void)pair;
	return qx_open_memory(out, state.link, 1, cfg, why);
}

static void pump(struct contract_pair *pair)
{
	(void)pair;
	state.now_ns += DELAY_NS;
	qx_link_advance(state.link, state.now_ns);
}

static uint64_t now(struct contract_pair *pair)
{
	(void)pair;
	return state.now_ns;
}

static const struct contract_backend memory = {
	.name = "memory",
	.lane = QX_LANE_XDP,
	.hub_address_cnt_v4 = 1, /* the simulated NIC has no wildcard address */
	.hub_address_cnt_v6 = 1,
	.payload_max_v4 = 1500 - 28,
	.payload_max_v6 = 1500 - 48,
	.virtual_time = true,
	.open = open_memory,
	.close = close_memory,
	.open_config = open_config,
	.pump = pump,
	.now = now,
};

int main(int argc, char **argv)
{
	return contract_main(&memory, argc, argv);
}
