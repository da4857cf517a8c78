/* afxdp_sizes.c: how many frames a device gets.  Arithmetic only.
 *
 * Some facts
 *  - A queue that is read every 20 ms at 100,000 packets/s needs 2,000 frames.
 *  - A frame holds the packet after XDP_PACKET_HEADROOM (256 bytes, include/uapi/linux/
 *    bpf.h), so 2048 bytes serve an MTU of 1778 and 4096 (a page, the most that the kernel
 *    takes) one of 3826; native XDP ends at about 3500 anyway.
 *  - Zero-copy, the NIC is told how long a frame is.  igb counts that in KiB, rounded down:
 *    of the 1792 bytes behind the headroom it uses 1024, and every longer packet arrives
 *    torn (seen with QEMU's 82576; igc and ixgbe's 82599 reckon likewise in their sources).
 *    A page is right for all, so only drivers that were seen to do better get less.
 *  - Without CAP_IPC_LOCK a user may often lock 8 MiB, for all processes together. */
#include <errno.h>
#include <string.h>

#include "afxdp.h"

enum {
	HEADROOM_BYTES = 256,
	ETH_BYTES = 14,
	FRAME_SMALL_BYTES = 2048,
	FRAME_LARGE_BYTES = 4096,
	RX_WANTED = 4096,
	RX_GOOD = 2048, /* reduce others before going below */
	RX_FLOOR = 256,
	TX_WANTED = 2048,
	TX_GOOD = 1024,
	TX_FLOOR = 256,
	RING_MIN = 16,
	RING_MAX = 65536,
	BUDGET_BYTES = 32 << 20
};

uint64_t afxdp_sizes_bytes(const struct afxdp_sizes *s)
{
	return ((uint64_t)s->queue_cnt * s->rx_frame_cnt + s->tx_frame_cnt) * s->frame_bytes;
}

/* reduce takes the next step down.  False when there is none. */
static bool reduce(struct afxdp_sizes *s)
{
	if (!s->rx_fixed && s->rx_frame_cnt > RX_GOOD)
		s->rx_frame_cnt /= 2;
	else if (!s->tx_fixed && s->tx_frame_cnt > TX_GOOD)
		s->tx_frame_cnt /= 2;
	else if (!s->rx_fixed && s->rx_frame_cnt > RX_FLOOR)
		s->rx_frame_cnt /= 2;
	else if (!s->tx_fixed && s->tx_frame_cnt > TX_FLOOR)
		s->tx_frame_cnt /= 2;
	else if (s->queue_cnt > 1)
		s->queue_cnt--;
	else
		return false;
	return true;
}

bool afxdp_sizes_fit(struct afxdp_sizes *s, uint64_t budget_bytes)
{
	while (afxdp_sizes_bytes(s) > budget_bytes)
		if (!reduce(s))
			return false;
	return true;
}

void afxdp_sizes_zerocopy(struct afxdp_sizes *s, const char *driver)
{
	static const char *const takes_small[] = {"virtio_net"};

	for (size_t i = 0; i < sizeof(takes_small) / sizeof(takes_small[0]); i++)
		if (!strcmp(driver, takes_small[i]))
			return;
	s->frame_bytes = FRAME_LARGE_BYTES;
}

static bool is_ring_size(uint32_t n)
{
	return n >= RING_MIN && n <= RING_MAX && (n & (n - 1)) == 0;
}

int afxdp_sizes_init(struct afxdp_sizes *s, const struct qx_nic_config *cfg,
		     uint32_t queue_cnt, uint32_t mtu_bytes, uint64_t memlock_bytes)
{
	*s = (struct afxdp_sizes){
		.queue_cnt = queue_cnt < QX_QUEUE_MAX ? queue_cnt : (uint32_t)QX_QUEUE_MAX,
		.rx_frame_cnt = cfg->rx_frame_cnt ? cfg->rx_frame_cnt : (uint32_t)RX_WANTED,
		.tx_frame_cnt = cfg->tx_frame_cnt ? cfg->tx_frame_cnt : (uint32_t)TX_WANTED,
		.frame_bytes = mtu_bytes + ETH_BYTES + HEADROOM_BYTES <= FRAME_SMALL_BYTES
				       ? FRAME_SMALL_BYTES
				       : FRAME_LARGE_BYTES,
		.rx_fixed = cfg->rx_frame_cnt != 0,
		.tx_fixed = cfg->tx_frame_cnt != 0,
	};
	if (!is_ring_size(s->rx_frame_cnt) || !is_ring_size(s->tx_frame_cnt))
		return -EINVAL;
	/* The budget is a wish that gives way to good sizes on many queues; memlock is not. */
	while (afxdp_sizes_bytes(s) > BUDGET_BYTES &&
	       ((!s->rx_fixed && s->rx_frame_cnt > RX_GOOD) ||
		(!s->tx_fixed && s->tx_frame_cnt > TX_GOOD)))
		reduce(s);
	return afxdp_sizes_fit(s, memlock_bytes) ? 0 : -ENOBUFS;
}
