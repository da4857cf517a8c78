/* names.c: short names of the constants, for metrics and messages. */
#include "quicxdp.h"

static const char *const drop_names[QX_DROP_CNT] = {
	[QX_DROP_NONE] = "none",
	[QX_DROP_TRUNCATED] = "truncated",
	[QX_DROP_DEST_MAC] = "dest_mac",
	[QX_DROP_ETHERTYPE] = "ethertype",
	[QX_DROP_IP_HEADER] = "ip_header",
	[QX_DROP_IP_LENGTH] = "ip_length",
	[QX_DROP_IP_CHECKSUM] = "ip_checksum",
	[QX_DROP_FRAGMENT] = "fragment",
	[QX_DROP_NOT_UDP] = "not_udp",
	[QX_DROP_UDP_LENGTH] = "udp_length",
	[QX_DROP_UDP_CHECKSUM] = "udp_checksum",
	[QX_DROP_SOURCE_ADDRESS] = "source_address",
	[QX_DROP_SOURCE_PORT] = "source_port",
	[QX_DROP_NOT_OURS] = "not_ours",
	[QX_DROP_WRONG_PEER] = "wrong_peer",
	[QX_DROP_INBOX_FULL] = "inbox_full",
	[QX_DROP_DESCRIPTOR] = "descriptor",
	[QX_DROP_OVERLONG] = "overlong",
	[QX_DROP_SEND_ERROR] = "send_error",
	[QX_DROP_DEVICE_GONE] = "device_gone",
	[QX_DROP_DENIED] = "denied",
};

static const char *const frame_state_names[QX_FRAME_STATE_CNT] = {
	[QX_FRAME_FREE] = "free", [QX_FRAME_FILL] = "fill",   [QX_FRAME_LENT] = "lent",
	[QX_FRAME_TX] = "tx",     [QX_FRAME_BUILT] = "built",
};

static const char *const ring_names[QX_RING_KIND_CNT] = {
	[QX_RING_FILL] = "fill",
	[QX_RING_RX] = "rx",
	[QX_RING_TX] = "tx",
	[QX_RING_COMPLETION] = "completion",
};

static const char *const xdp_mode_names[QX_XDP_MODE_CNT] = {
	[QX_XDP_AUTO] = "auto",
	[QX_XDP_COPY] = "copy",
	[QX_XDP_ZEROCOPY] = "zerocopy",
	[QX_XDP_GENERIC] = "generic",
};

static const char *const pages_names[QX_PAGES_CNT] = {
	[QX_PAGES_NORMAL] = "normal",
	[QX_PAGES_ADVISED] = "advised",
	[QX_PAGES_HUGE] = "huge",
};

const char *qx_drop_name(uint32_t reason)
{
	return reason < QX_DROP_CNT ? drop_names[reason] : NULL;
}

const char *qx_frame_state_name(uint32_t state)
{
	return state < QX_FRAME_STATE_CNT ? frame_state_names[state] : NULL;
}

const char *qx_ring_name(uint32_t ring)
{
	return ring < QX_RING_KIND_CNT ? ring_names[ring] : NULL;
}

const char *qx_xdp_mode_name(uint32_t mode)
{
	return mode < QX_XDP_MODE_CNT ? xdp_mode_names[mode] : NULL;
}

const char *qx_pages_name(uint32_t pages)
{
	return pages < QX_PAGES_CNT ? pages_names[pages] : NULL;
}
