/* try_winxdp.c: the contract over the real XDP for Windows, on two adapters of one machine that
 * a cable or a virtual switch joins.  For a Windows machine with the driver; not part of the
 * tests, because there is none where they run.
 *
 *      try_winxdp.exe "Ethernet 2" "Ethernet 3" [part of a test's name]
 *
 * Packets of documentation addresses go from one adapter to the other; Windows' own addresses
 * and routes do not matter and are not touched. */
#include <stdio.h>
#include <string.h>

#include "adapter_win.h"
#include "platform.h"
#include "winxdp_contract.h"

enum {
	PUMP_MS = 2
};

static struct winxdp_adapter adapters[SIM_ADAPTER_CNT];

/* The made-up addresses are the adapter's own, as far as a wildcard goes. */
static int made_up_addrs(uint32_t ifindex, struct qx_addr *out, uint32_t max)
{
	uint32_t end = ifindex == adapters[1].ifindex, cnt = 0;

	for (uint8_t n = 0; n < 2; n++)
		for (uint8_t family = QX_IPV4; family <= QX_IPV6 && cnt < max; family += 2)
			out[cnt++] = sim_addr(end, family, n);
	return (int)cnt;
}

static struct winxdp_adapter adapter_of(uint32_t end)
{
	return adapters[end];
}

static void pump(struct contract_pair *pair)
{
	struct qx_datapath *dps[CONTRACT_CLIENT_MAX + 1];
	uint32_t cnt = 0;

	if (pair->hub)
		dps[cnt++] = pair->hub;
	for (uint32_t i = 0; i < CONTRACT_CLIENT_MAX; i++)
		if (pair->clients[i])
			dps[cnt++] = pair->clients[i];
	platform_pump(dps, cnt, PUMP_MS);
}

static uint64_t now(struct contract_pair *pair)
{
	(void)pair;
	return platform_now_ns();
}

static const struct contract_backend backend_here = {
	.name = "winxdp",
	.open = winxdp_contract_open,
	.close = contract_close_fixed,
	.pump = pump,
	.now = now,
	WINXDP_CONTRACT,
};

int main(int argc, char **argv)
{
	char why[QX_WHY_BYTES];

	if (argc < 3) {
		printf("usage: %s ADAPTER ADAPTER [part of a test's name]\n", argv[0]);
		return 2;
	}
	for (int end = 0; end < 2; end++) {
		if (adapter_find(&adapters[end], argv[1 + end], why) < 0) {
			printf("%s\n", why);
			return 2;
		}
		printf("adapter %d: index %u, MTU %u\n", end, adapters[end].ifindex,
		       adapters[end].mtu_bytes);
		adapters[end].mtu_bytes = SIM_MTU_BYTES;
		adapters[end].local_addrs = made_up_addrs;
	}
	winxdp_pair_nt = &winxdp_ntdll;
	winxdp_pair_adapter = adapter_of;
	return contract_main(&backend_here, argc - 2, argv + 2);
}
