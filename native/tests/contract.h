/* contract.h: one suite of promises over quicxdp.h, run unchanged on every back end.
 *
 * A back end fills in struct contract_backend and calls contract_main.  The suite opens a
 * hub (the server, "b") and one or more clients ("a" is clients[0]) through it, lets it
 * make progress with pump, and otherwise speaks only the public API.
 *
 *      int main(int argc, char **argv)
 *      {
 *              return contract_main(&my_backend, argc, argv);
 *      }
 *
 * Arguments select tests by a substring of their name, as in t.h. */
#ifndef QX_CONTRACT_H
#define QX_CONTRACT_H

#include <stdbool.h>
#include <stdint.h>

#include "quicxdp.h"

enum {
	CONTRACT_CLIENT_MAX = 8,
	CONTRACT_HUB_ADDRESS_MAX = 2
};

/* What a test asks of open. */
struct contract_options {
	uint8_t family;        /* QX_IPV4 or QX_IPV6 */
	uint32_t client_cnt;   /* 1..CONTRACT_CLIENT_MAX, each on its own port */
	bool wildcard;         /* hub bound to the wildcard address; only asked of back
				      ends with two addresses of the family */
	bool connected;        /* clients connected to hub_addr[0] (qx_config.remote) */
	uint32_t flags;        /* enum qx_config_flags, for both sides */
	uint32_t rx_frame_cnt; /* as in qx_config, for both sides */
	uint32_t tx_frame_cnt;
};

struct contract_pair {
	struct qx_datapath *hub;
	struct qx_addr
		hub_addr[CONTRACT_HUB_ADDRESS_MAX]; /* as clients reach it; ports set */
	struct qx_datapath *clients[CONTRACT_CLIENT_MAX];
	struct qx_addr client_addr[CONTRACT_CLIENT_MAX]; /* as the hub sees it; ports set */
};

struct contract_backend {
	const char *name;

	/* The lane that traffic takes once both sides have heard each other. */
	enum qx_lane lane;
	uint32_t hub_address_cnt_v4; /* addresses that a wildcard hub is reached at and */
	uint32_t hub_address_cnt_v6; /* can answer from: 2, or what needs two is left out */
	uint32_t payload_max_v4;     /* longest payload that the path takes */
	uint32_t payload_max_v6;
	bool no_batching;  /* the system lacks it: a call moves one packet */
	bool no_ecn;       /* the system does not send it: everything comes as Not-ECT */
	bool virtual_time; /* deadlines are the test's to watch: qx_arm accepts
					  them and qx_fd never fires for them */

	/* setup runs once before the tests (namespaces, links): 0, or -1 with the reason in
	 * why: the program then skips (exit status 77).  teardown undoes it.  Either may be
	 * NULL. */
	int (*setup)(char *why);
	void (*teardown)(void);

	/* open fills in everything of *pair that options asks for; 0, or -errno with why.
	 * close takes it down again and may be called with clients or hub already closed
	 * by the test, which then stand as NULL. */
	int (*open)(struct contract_pair *pair, const struct contract_options *options,
		    char *why);
	void (*close)(struct contract_pair *pair);

	/* open_config opens one more endpoint on the hub's side with exactly this
	 * configuration (plus what the back end needs: interface, link); for the errors of
	 * opening.  Returns what qx_open returned. */
	int (*open_config)(struct contract_pair *pair, struct qx_datapath **out,
			   const struct qx_config *cfg, char *why);

	/* pump lets what is under way arrive: advances virtual time, or polls the qx_fds of
	 * the pair for at most a few milliseconds. */
	void (*pump)(struct contract_pair *pair);

	/* now is the clock to pass to qx_recv; CLOCK_MONOTONIC unless virtual_time. */
	uint64_t (*now)(struct contract_pair *pair);
};

int contract_main(const struct contract_backend *backend, int argc, char **argv);

#endif
