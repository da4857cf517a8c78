/* contract_afxdp.c: the contract suite over AF_XDP at both ends of a veth cable with two
 * queues.
 *
 * One thread drives both: an endpoint belongs to the namespace that it was opened in, so
 * clients are opened in one and the hub in the other.
 *
 * Over other devices (netns.h) QX_XDP_MODE says how packets must travel, in the words of
 * qx_xdp_mode_name. */
#define _GNU_SOURCE

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <time.h>

#include "contract_real.h"
#include "netns.h"

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000 /* linux/if.h, which net/if.h does not go with */
#endif

enum {
	MTU_BYTES = 1500,
	LINK_LOOK_NS = 10000000,
	LINK_LOOKS = 1000
};

static uint32_t wanted_mode(void)
{
	const char *name = getenv("QX_XDP_MODE");
	uint32_t mode = QX_XDP_AUTO;

	if (name)
		while (mode < QX_XDP_MODE_CNT && strcmp(name, qx_xdp_mode_name(mode)))
			mode++;
	return mode;
}

/* A suite that passed in another mode than the one meant would prove nothing. */
static int check_mode(struct qx_datapath *dp, uint32_t wanted, char *why)
{
	struct qx_interface_info info = {0};

	if (wanted == QX_XDP_AUTO)
		return 0;
	if (qx_interface(dp, 0, &info) == 1 && info.mode[0] == wanted)
		return 0;
	snprintf(why, QX_WHY_BYTES, "%s was asked for, and is %s", qx_xdp_mode_name(wanted),
		 qx_xdp_mode_name(info.mode[0]));
	qx_close(dp);
	return -EPROTONOSUPPORT;
}

static int open_at(int side, struct qx_datapath **out, struct qx_config *cfg, char *why)
{
	int err = netns_enter(side);

	if (err)
		return err;
	snprintf(cfg->interface, sizeof(cfg->interface), "%s", netns_nic(side));
	cfg->xdp_mode = wanted_mode();
	err = qx_open(out, cfg, why);
	if (!err)
		err = check_mode(*out, cfg->xdp_mode, why);
	netns_enter(NETNS_A);
	return err;
}

static int open_hub(struct qx_datapath **out, struct qx_config *cfg, char *why)
{
	return open_at(NETNS_B, out, cfg, why);
}

static int open_client(struct qx_datapath **out, struct qx_config *cfg, char *why)
{
	return open_at(NETNS_A, out, cfg, why);
}

static const struct contract_place cable = {
	.hub_last = 2,
	.client_last = 1,
	.addr = netns_addr,
	.open_hub = open_hub,
	.open_client = open_client,
};

/* has_carrier asks rtnetlink: IFF_RUNNING, which is all that SIOCGIFFLAGS tells, follows up to
 * a second later (net/core/link_watch.c). */
static bool has_carrier(int side)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} request = {
		.h = {.nlmsg_len = sizeof(request),
		      .nlmsg_type = RTM_GETLINK,
		      .nlmsg_flags = NLM_F_REQUEST},
	};
	union {
		typeof(request) start;
		uint8_t room[16384];
	} answer = {0};
	int err = netns_enter(side), fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);

	request.i.ifi_index = (int)if_nametoindex(netns_nic(side));
	if (err || send(fd, &request, sizeof(request), 0) < 0 ||
	    recv(fd, &answer, sizeof(answer), 0) < (ssize_t)sizeof(request))
		answer.start.i.ifi_flags = 0;
	close(fd);
	netns_enter(NETNS_A);
	return answer.start.i.ifi_flags & IFF_LOWER_UP;
}

/* Attaching a program, or binding in zero-copy, resets the link of some NICs (igb: for three
 * seconds), and what is sent meanwhile is lost as with a cable that is not plugged in. */
static int open_both(struct contract_pair *pair, const struct contract_options *options,
		     char *why)
{
	const struct timespec pause = {.tv_nsec = LINK_LOOK_NS};
	int err = contract_open(&cable, pair, options, why);

	for (int i = 0; i < LINK_LOOKS && !err; i++) {
		if (has_carrier(NETNS_A) && has_carrier(NETNS_B))
			return 0;
		nanosleep(&pause, NULL);
	}
	if (!err) {
		snprintf(why, QX_WHY_BYTES, "a link stays down");
		contract_close(pair);
	}
	return err ? err : -ENETDOWN;
}

static int open_config(struct contract_pair *pair, struct qx_datapath **out,
		       const struct qx_config *cfg, char *why)
{
	struct qx_config with_interface = *cfg;

	(void)pair;
	return open_at(NETNS_B, out, &with_interface, why);
}

static const struct contract_backend afxdp_backend = {
	.name = "afxdp",
	.lane = QX_LANE_XDP,
	.hub_address_cnt_v4 = 2,
	.hub_address_cnt_v6 = 2,
	.payload_max_v4 = MTU_BYTES - 20 - 8,
	.payload_max_v6 = MTU_BYTES - 40 - 8,
	.setup = netns_open,
	.open = open_both,
	.close = contract_close,
	.open_config = open_config,
	.pump = contract_poll,
	.now = contract_monotonic,
};

int main(int argc, char **argv)
{
	return contract_main(&afxdp_backend, argc, argv);
}
