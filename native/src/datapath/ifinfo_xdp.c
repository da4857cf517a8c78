/* ifinfo_xdp.c: what the kernel says about XDP on an interface; see ifinfo.h.
 *
 * Some facts
 *  - XDP programs are listed by rtnetlink in IFLA_XDP (net/core/rtnetlink.c).
 *  - What a driver can do is told by the generic netlink family "netdev", from Linux 6.3 on
 *    (include/uapi/linux/netdev.h, Documentation/netlink/specs/netdev.yaml).  virtio_net says
 *    so without looking at what its device can do: a hint, and its absence proof. */
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ifinfo.h"

/* linux/netdev.h, which is younger than the headers that we build with. */
enum {
	DEV_GET = 1,
	DEV_IFINDEX = 1,
	DEV_XDP_FEATURES = 3
};

union answer {
	struct nlmsghdr h;
	char bytes[16384];
};

/* ask sends one request and takes one datagram of the answer.  Returns its length or
 * -errno. */
static int ask(int fd, const void *request, size_t len_bytes, union answer *answer)
{
	ssize_t n;

	memset(&answer->h, 0, sizeof(answer->h)); /* whatever arrives, if anything does */
	if (send(fd, request, len_bytes, 0) < 0 ||
	    (n = recv(fd, answer, sizeof(*answer), 0)) < 0)
		return -errno;
	return (int)n;
}

/* Success without an answer is none. */
static int refusal(const struct nlmsghdr *h)
{
	int err = ((const struct nlmsgerr *)NLMSG_DATA(h))->error;

	return err ? err : -EPROTO;
}

/* find_attr returns the attribute of this type, or NULL.  By hand, since RTA_NEXT mixes
 * signed and unsigned. */
static const struct rtattr *find_attr(const struct rtattr *a, size_t left_bytes, int type)
{
	while (left_bytes >= sizeof(*a) && a->rta_len >= sizeof(*a) &&
	       a->rta_len <= left_bytes) {
		size_t step = RTA_ALIGN((size_t)a->rta_len);

		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return a;
		if (step > left_bytes)
			break;
		left_bytes -= step;
		a = (const struct rtattr *)((const char *)a + step);
	}
	return NULL;
}

static int parse_xdp(struct ifinfo_xdp *out, const struct nlmsghdr *h, uint32_t len)
{
	const struct rtattr *xdp, *a;

	if (!NLMSG_OK(h, len))
		return -EPROTO;
	if (h->nlmsg_type == NLMSG_ERROR)
		return refusal(h);
	if (h->nlmsg_type != RTM_NEWLINK ||
	    h->nlmsg_len < NLMSG_SPACE(sizeof(struct ifinfomsg)))
		return -EPROTO;
	xdp = find_attr(IFLA_RTA(NLMSG_DATA(h)), IFLA_PAYLOAD(h), IFLA_XDP);
	if (!xdp)
		return 0;
	a = find_attr(RTA_DATA(xdp), RTA_PAYLOAD(xdp), IFLA_XDP_ATTACHED);
	if (a && RTA_PAYLOAD(a) >= sizeof(out->mode))
		memcpy(&out->mode, RTA_DATA(a), sizeof(out->mode));
	a = find_attr(RTA_DATA(xdp), RTA_PAYLOAD(xdp), IFLA_XDP_PROG_ID);
	if (a && RTA_PAYLOAD(a) >= sizeof(out->id))
		memcpy(&out->id, RTA_DATA(a), sizeof(out->id));
	return 0;
}

int ifinfo_get_xdp(struct ifinfo_xdp *out, uint32_t ifindex)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} request = {
		.h = {.nlmsg_len = sizeof(request),
		      .nlmsg_type = RTM_GETLINK,
		      .nlmsg_flags = NLM_F_REQUEST},
		.i = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex},
	};
	union answer answer;
	int fd, n, err;

	memset(out, 0, sizeof(*out));
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	n = ask(fd, &request, sizeof(request), &answer);
	err = n < 0 ? n : parse_xdp(out, &answer.h, (uint32_t)n);
	close(fd);
	return err;
}

/* One generic netlink request with one attribute, as all here are. */
struct genl_request {
	struct nlmsghdr h;
	struct genlmsghdr g;
	struct rtattr attr;
	char value[8];
};

/* genl_ask asks a family and finds an attribute of the answer.  0 or -errno. */
static int genl_ask(int fd, struct genl_request *request, int want, void *out,
		    size_t out_bytes)
{
	union answer answer;
	const struct nlmsghdr *h = &answer.h;
	const struct rtattr *a;
	size_t head = NLMSG_HDRLEN + GENL_HDRLEN;
	int n = ask(fd, request, request->h.nlmsg_len, &answer);

	if (n < 0)
		return n;
	if (!NLMSG_OK(h, (uint32_t)n))
		return -EPROTO;
	if (h->nlmsg_type == NLMSG_ERROR)
		return refusal(h);
	if (h->nlmsg_type != request->h.nlmsg_type || h->nlmsg_len < head)
		return -EPROTO;
	a = find_attr((const struct rtattr *)(answer.bytes + head), h->nlmsg_len - head,
		      want);
	if (!a || RTA_PAYLOAD(a) < out_bytes)
		return -EPROTO;
	memcpy(out, RTA_DATA(a), out_bytes);
	return 0;
}

static struct genl_request genl_request(uint16_t family, uint8_t cmd, uint16_t attr,
					const void *value, uint16_t value_bytes)
{
	struct genl_request r = {
		.h = {.nlmsg_len = (uint32_t)(offsetof(struct genl_request, value) +
					      RTA_ALIGN(value_bytes)),
		      .nlmsg_type = family,
		      .nlmsg_flags = NLM_F_REQUEST},
		.g = {.cmd = cmd, .version = 1},
		.attr = {.rta_len = (uint16_t)RTA_LENGTH(value_bytes), .rta_type = attr},
	};

	memcpy(r.value, value, value_bytes);
	return r;
}

int ifinfo_xdp_features(uint64_t *out, uint32_t ifindex)
{
	static const char family_name[] = "netdev";
	struct genl_request request =
		genl_request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME,
			     family_name, sizeof(family_name));
	uint16_t family;
	int fd, err;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (fd < 0)
		return -errno;
	err = genl_ask(fd, &request, CTRL_ATTR_FAMILY_ID, &family, sizeof(family));
	if (!err) {
		request =
			genl_request(family, DEV_GET, DEV_IFINDEX, &ifindex, sizeof(ifindex));
		err = genl_ask(fd, &request, DEV_XDP_FEATURES, out, sizeof(*out));
	}
	close(fd);
	return err;
}
