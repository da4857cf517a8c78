/* contract_real.h: progress and time for back ends whose other side is the kernel. */
#ifndef QX_CONTRACT_REAL_H
#define QX_CONTRACT_REAL_H

#include <poll.h>
#include <time.h>

#include "contract.h"

enum {
	CONTRACT_PUMP_MS = 2
};

/* On loopback and veth what was sent has arrived when the sending call returns, so this only
 * sleeps where a test waits in vain for something that must not come. */
static void contract_poll(struct contract_pair *pair)
{
	struct pollfd fds[CONTRACT_CLIENT_MAX + 1];
	nfds_t cnt = 0;

	if (pair->hub)
		fds[cnt++] = (struct pollfd){.fd = qx_fd(pair->hub), .events = POLLIN};
	for (uint32_t i = 0; i < CONTRACT_CLIENT_MAX; i++)
		if (pair->clients[i])
			fds[cnt++] = (struct pollfd){.fd = qx_fd(pair->clients[i]),
						     .events = POLLIN};
	poll(fds, cnt, CONTRACT_PUMP_MS);
}

static uint64_t contract_monotonic(struct contract_pair *pair)
{
	struct timespec t;

	(void)pair;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
