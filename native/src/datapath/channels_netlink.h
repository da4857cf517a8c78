/* channels_netlink.h: hears that an interface's number of queues was changed (ethtool -L).
 *
 * rtnetlink does not tell of that; ethtool's own notifications do (genetlink, Linux 5.6 and
 * newer, changes by the older ioctl excepted).  One socket of the network namespace in which
 * it is opened. */
#ifndef QX_CHANNELS_NETLINK_H
#define QX_CHANNELS_NETLINK_H

#include <stdint.h>

struct qx_channels;

/* channels_open.  -EOPNOTSUPP the kernel does not tell; others as socket(2) and malloc(3). */
int channels_open(struct qx_channels **out, uint32_t ifindex);
void channels_close(struct qx_channels *c);

/* CHANNELS_LOST: something was said that did not fit the socket's buffer. */
#define CHANNELS_LOST UINT32_MAX

/* channels_read takes what was said since the last time.  Returns how many RX queues there
 * are by the last word, 0 if nothing was said, or CHANNELS_LOST.
 * Cost     one system call, one more per message; counted in *syscalls. */
uint32_t channels_read(struct qx_channels *c, uint64_t *syscalls);

/* What a socket needs to know to hear of it. */
struct channels_group {
	uint16_t family;
	uint32_t group; /* 0: there is none */
};

/* channels_parse_group reads the answer to who ethtool is, channels_parse a buffer of
 * notifications, as channels_read.  Any bytes will do. */
void channels_parse_group(const uint8_t *bytes, uint32_t len_bytes,
			  struct channels_group *out);
uint32_t channels_parse(const uint8_t *bytes, uint32_t len_bytes, uint16_t family,
			uint32_t ifindex);

#endif
