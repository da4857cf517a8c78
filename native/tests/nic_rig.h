/* nic_rig.h: what the tests of the AF_XDP back end share: opening a NIC on qxa (netns.h). */
#ifndef QX_NIC_RIG_H
#define QX_NIC_RIG_H

#include <linux/if_link.h>

#include "afxdp.h"
#include "child.h"
#include "faults.h"
#include "netns.h"
#include "privilege.h"
#include "t.h"

static inline struct qx_nic_config config(const char *name)
{
	struct qx_nic_config cfg = {.rx_frame_cnt = 256, .tx_frame_cnt = 512};

	snprintf(cfg.interface, sizeof(cfg.interface), "%s", name);
	return cfg;
}

static inline struct qx_nic *open_nic(const struct qx_nic_config *cfg)
{
	char why[QX_WHY_BYTES] = "";
	struct qx_nic *nic = NULL;
	int err = afxdp_open(&nic, cfg, why);

	if (err)
		T_FAIL("%d: %s", err, why);
	return nic;
}

/* open_small opens qxa with small rings. */
static inline struct qx_nic *open_small(void)
{
	struct qx_nic_config cfg = config("qxa");

	return open_nic(&cfg);
}

static inline void attach_nic(struct qx_nic *nic)
{
	char why[QX_WHY_BYTES] = "";
	int err = nic->ops->attach(nic, why);

	if (err)
		T_FAIL("%d: %s", err, why);
}

static inline uint8_t attached_mode(uint32_t ifindex)
{
	struct ifinfo_xdp xdp;

	T_EQ(ifinfo_get_xdp(&xdp, ifindex), 0);
	return xdp.mode;
}

static inline void nic_rig_after_each(void)
{
	struct ifinfo_xdp xdp;

	if (ifinfo_get_xdp(&xdp, 71) || xdp.mode) {
		printf("FAIL it left a program attached\n");
		leaks_found = 1;
	}
	leaks_check();
}

/* nic_rig_main makes the network and runs the tests, each followed by a leak check. */
static inline int nic_rig_main(const struct t_case *cases, size_t case_cnt, int argc,
			       char **argv)
{
	char why[QX_WHY_BYTES];
	int failed;

	if (!privilege_has(CAP_NET_ADMIN) || !privilege_has(CAP_BPF) ||
	    !privilege_has(CAP_SYS_ADMIN))
		T_SKIP_PROGRAM("AF_XDP and network namespaces need root");
	if (netns_open(why) < 0)
		T_SKIP_PROGRAM("%s", why);
	leaks_check();
	if (!t_after_each)
		t_after_each = nic_rig_after_each;
	failed = t_main(cases, case_cnt, argc, argv);
	return failed || leaks_found;
}

#endif
