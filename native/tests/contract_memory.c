/* contract_memory.c: the contract over the simulated NIC, on virtual time. */
#include <errno.h>
#include <string.h>

#include "contract_fixed.h"

#define DELAY_NS 1000000ull

struct state {
	struct qx_link *link;
	uint64_t now_ns;
};

static struct state state;

static struct qx_addr address(uint32_t end, uint8_t family, uint8_t n)
{
	struct qx_addr a = {.family = family};
	uint8_t host = (uint8_t)(1 + end * 16 + n);

	if (family == QX_IPV4)
		memcpy(a.ip, (uint8_t[]){192, 0, 2, host}, 4);
	else
		memcpy(a.ip, (uint8_t[]){0x20, 1, 0xd, 0xb8, [15] = host}, 16);
	return a;
}

static int open_end(struct qx_datapath **out, uint32_t end, const struct qx_config *cfg,
		    char *why)
{
	return qx_open_memory(out, state.link, end, cfg, why);
}

static const struct contract_cable cable = {.addr = address, .open = open_end};

static void close_memory(struct contract_pair *pair)
{
	contract_close_fixed(pair);
	qx_link_close(state.link);
	state.link = NULL;
}

static int open_memory(struct contract_pair *pair, const struct contract_options *options,
		       char *why)
{
	const struct qx_link_config wire = {.seed = 1, .delay_ns = DELAY_NS};
	int err;

	state.now_ns = DELAY_NS;
	if ((err = qx_link_open(&state.link, &wire)) < 0)
		return err;
	if ((err = contract_open_fixed(&cable, pair, options, why)) < 0) {
		qx_link_close(state.link);
		state.link = NULL;
	}
	return err;
}

static int open_config(struct contract_pair *pair, struct qx_datapath **out,
		       const struct qx_config *cfg, char *why)
{
	(void)pair;
	return open_end(out, CONTRACT_HUB_END, cfg, why);
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
