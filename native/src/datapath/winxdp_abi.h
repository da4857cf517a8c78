/* winxdp_abi.h: XDP for Windows, API version 3 (1.1 and newer): what crosses into its driver.
 *
 * Our own description, in plain C, so that it compiles without Windows' headers and can be
 * held against them: sizes and offsets below were taken from the published interface
 * (microsoft/xdp-for-windows, published/external) and are asserted here on every platform;
 * tests/win_xdp_abi.c asserts again, against mingw's own headers, what Windows defines.
 *
 * Some facts
 *  - An object (program, XSK) is created by opening a device with NtCreateFile.  What to
 *    create stands in an extended attribute "XdpOpenPacket000": version, type, parameters.
 *    XDP 1.4 has one device per type; before, and still, there is a common one.
 *  - An XSK is then spoken to with NtDeviceIoControlFile; closing the handle ends it.
 *  - Rings have 32-bit free-running indices, as AF_XDP's.  Where they lie in a ring's mapping
 *    and how far apart its elements are is for the driver to say. */
#ifndef QX_WINXDP_ABI_H
#define QX_WINXDP_ABI_H

#include <stddef.h>
#include <stdint.h>

/* ---- Windows: NTSTATUS and the structures of ntdll's calls ---- */

enum {
	NT_OK = 0,
	NT_PENDING = 0x103
};

/* The rest are negative, as int32_t. */
#define NT_STATUS(code) ((int32_t)(code##u))
#define NT_INVALID_HANDLE NT_STATUS(0xc0000008)
#define NT_INVALID_PARAMETER NT_STATUS(0xc000000d)
#define NT_NO_MEMORY NT_STATUS(0xc0000017)
#define NT_ACCESS_DENIED NT_STATUS(0xc0000022)
#define NT_OBJECT_NAME_NOT_FOUND NT_STATUS(0xc0000034)
#define NT_OBJECT_PATH_NOT_FOUND NT_STATUS(0xc000003a)
#define NT_DELETE_PENDING NT_STATUS(0xc0000056)
#define NT_INSUFFICIENT_RESOURCES NT_STATUS(0xc000009a)
#define NT_DEVICE_NOT_READY NT_STATUS(0xc00000a3)
#define NT_NOT_SUPPORTED NT_STATUS(0xc00000bb)
#define NT_CANCELLED NT_STATUS(0xc0000120)
#define NT_INVALID_DEVICE_STATE NT_STATUS(0xc0000184)
#define NT_NOT_FOUND NT_STATUS(0xc0000225)
#define NT_DEVICE_REMOVED NT_STATUS(0xc00002b6)
#define NT_BUFFER_TOO_SMALL NT_STATUS(0xc0000023)

enum {
	NT_GENERIC_READ_WRITE_SYNCHRONIZE = (int)0xc0100000,
	NT_SHARE_READ_WRITE = 3,
	NT_FILE_CREATE = 2,
	NT_OBJ_CASE_INSENSITIVE = 0x40
};

struct nt_unicode_string {
	uint16_t len_bytes;
	uint16_t cap_bytes;
	const uint16_t *text;
};

struct nt_object_attributes {
	uint32_t len_bytes;
	void *root;
	const struct nt_unicode_string *name;
	uint32_t attributes;
	void *security_descriptor;
	void *security_quality;
};

struct nt_io_status {
	union {
		int32_t status;
		void *pointer;
	};
	uintptr_t information;
};

/* ---- Opening ---- */

enum xdp_object_type {
	XDP_PROGRAM = 0,
	XDP_XSK = 1
};

enum {
	XDP_API_VERSION_3 = 3,
	XDP_OPEN_MAJOR = 1,
	XDP_OPEN_MINOR = 0
};

#define XDP_OPEN_PACKET_NAME "XdpOpenPacket000"

struct xdp_open_packet {
	uint16_t major;
	uint16_t minor;
	uint32_t api_version;
	uint32_t object_type;
};

/* FILE_FULL_EA_INFORMATION: this header, the name with its NUL, then the value.  The name
 * begins in the header's last four bytes' first, at offset 8. */
struct xdp_ea {
	uint32_t next_entry_offset;
	uint8_t flags;
	uint8_t name_len_bytes; /* without the NUL */
	uint16_t value_len_bytes;
};

enum {
	/* The interface counts the header as 12 bytes (one of name, three of padding), the name
	 * as 17 and the packet as 12; the value lies right after the name, so the last four
	 * bytes of the buffer are unused.  The driver is given the same 41. */
	XDP_EA_HEADER_BYTES = 12,
	XDP_EA_NAME_OFF = 8,
	XDP_EA_VALUE_OFF = XDP_EA_NAME_OFF + sizeof(XDP_OPEN_PACKET_NAME),
	XDP_EA_BYTES = XDP_EA_HEADER_BYTES + sizeof(XDP_OPEN_PACKET_NAME) + 12
};

/* ---- Programs ---- */

enum {
	XDP_HOOK_L2 = 0,
	XDP_HOOK_RX = 0,
	XDP_HOOK_INSPECT = 0,
	XDP_PROGRAM_GENERIC = 1,
	XDP_PROGRAM_NATIVE = 2,
	XDP_MATCH_IPV4_UDP_PORT_SET = 10,
	XDP_MATCH_IPV6_UDP_PORT_SET = 11,
	XDP_ACTION_REDIRECT = 2,
	XDP_TARGET_XSK = 0,
	XDP_PORT_SET_BYTES = 65536 / 8
};

struct xdp_hook_id {
	uint32_t layer;
	uint32_t direction;
	uint32_t sublayer;
};

/* One bit per port, which is counted in network order as a native number: port 443 is
 * 0x01bb, on the wire 01 bb, as a little-endian number 0xbb01, so bit 0xbb01.  The driver
 * locks the set's pages and looks at the bits for every packet: setting one takes effect at
 * once. */
struct xdp_port_set {
	const uint8_t *bits;
	void *reserved; /* NULL */
};

struct xdp_ip_port_set {
	uint8_t address[16]; /* network order; IPv4 in the first four */
	struct xdp_port_set ports;
};

union xdp_pattern {
	struct xdp_ip_port_set ip_port_set;
	uint8_t bytes[40];
};

struct xdp_redirect {
	uint32_t target_type;
	void *target; /* an XSK's handle */
};

struct xdp_rule {
	uint32_t match;
	uint32_t zero_0;
	union xdp_pattern pattern;
	uint32_t action;
	uint32_t zero_1;
	struct xdp_redirect redirect;
};

struct xdp_program_open {
	uint32_t ifindex;
	struct xdp_hook_id hook;
	uint32_t queue;
	uint32_t flags;
	uint32_t rule_cnt;
	const struct xdp_rule *rules;
};

/* ---- XSKs ---- */

enum xsk_ioctl {
	XSK_IOCTL_BIND = 0x128000,
	XSK_IOCTL_ACTIVATE = 0x128004,
	XSK_IOCTL_GET_SOCKOPT = 0x128008,
	XSK_IOCTL_SET_SOCKOPT = 0x12800c,
	XSK_IOCTL_NOTIFY = 0x128013,
	XSK_IOCTL_NOTIFY_ASYNC = 0x128017
};

enum xsk_bind_flags {
	XSK_BIND_RX = 1,
	XSK_BIND_TX = 2,
	XSK_BIND_GENERIC = 4,
	XSK_BIND_NATIVE = 8
};

enum xsk_notify_flags {
	XSK_POKE_RX = 1,
	XSK_POKE_TX = 2,
	XSK_WAIT_RX = 4,
	XSK_WAIT_TX = 8
};

enum xsk_ring_flags {
	XSK_RING_ERROR = 1, /* for good */
	XSK_RING_NEED_POKE = 2,
	XSK_RING_AFFINITY_CHANGED = 4,
	XSK_RING_OFFLOAD_CHANGED = 8
};

enum xsk_sockopt {
	XSK_UMEM_REG = 1,
	XSK_RX_RING_SIZE = 2,
	XSK_RX_FILL_RING_SIZE = 3,
	XSK_TX_RING_SIZE = 4,
	XSK_TX_COMPLETION_RING_SIZE = 5,
	XSK_RING_INFO = 6,
	XSK_STATISTICS = 7,
	XSK_RX_ERROR = 10,
	XSK_RX_FILL_ERROR = 11,
	XSK_TX_ERROR = 12,
	XSK_TX_COMPLETION_ERROR = 13,
	XSK_RX_PROCESSOR_AFFINITY = 14,
	XSK_TX_PROCESSOR_AFFINITY = 15,
	XSK_TX_FRAME_LAYOUT_EXTENSION = 1001,
	XSK_TX_FRAME_CHECKSUM_EXTENSION = 1002,
	XSK_TX_OFFLOAD_CHECKSUM = 1003,
	XSK_TX_OFFLOAD_CURRENT_CHECKSUM = 1004
};

#define XSK_NO_ERROR 0u
#define XSK_ERROR_INTERFACE_DETACH 0x80000000u
#define XSK_ERROR_INVALID_RING 0xc0000000u

struct xsk_bind {
	uint32_t ifindex;
	uint32_t queue;
	uint32_t flags;
};

struct xsk_activate {
	uint32_t flags;
};

struct xsk_set_sockopt {
	uint32_t option;
	uint32_t len_bytes;
	const void *value;
};

struct xsk_notify {
	uint32_t flags;
	uint32_t timeout_ms;
};

struct xsk_umem_reg {
	uint64_t len_bytes;
	uint32_t chunk_bytes;
	uint32_t headroom_bytes;
	void *address;
};

struct xsk_ring_info {
	uint8_t *ring;
	uint32_t elements_off;
	uint32_t producer_off;
	uint32_t consumer_off;
	uint32_t flags_off;
	uint32_t size;
	uint32_t stride_bytes;
	uint32_t reserved;
};

struct xsk_ring_info_set {
	struct xsk_ring_info fill;
	struct xsk_ring_info completion;
	struct xsk_ring_info rx;
	struct xsk_ring_info tx;
};

struct xsk_statistics {
	uint64_t rx_dropped;
	uint64_t rx_truncated;
	uint64_t rx_invalid_descriptors;
	uint64_t tx_invalid_descriptors;
};

/* A frame's address: the chunk in the lower 48 bits, the offset in it in the upper 16.  With
 * no headroom registered, the offset is 0 and all of it is an offset into the UMEM. */
struct xsk_descriptor {
	uint64_t address;
	uint32_t len_bytes;
	uint32_t reserved;
};

/* Extensions of a TX descriptor.  Bits from the lowest on: layer 2 header length 7, layer 3
 * header length 9, layer 4 header length 8, layer 2 type 4, layer 3 type 4, layer 4 type 4. */
enum {
	XDP_LAYOUT_BYTES = 5,
	XDP_LAYER2_ETHERNET = 2,
	XDP_LAYER3_IPV4_NO_OPTIONS = 3,
	XDP_LAYER3_IPV6_NO_EXTENSIONS = 6,
	XDP_LAYER4_UDP = 2,
	/* One byte: layer 3 in the lowest two bits, layer 4 in the next two. */
	XDP_CHECKSUM_PASSTHROUGH = 0,
	XDP_CHECKSUM_LAYER4_REQUIRED = 1 << 2
};

struct xdp_checksum_configuration {
	uint32_t revision;
	uint32_t size_bytes;
	uint8_t enabled;
	uint8_t tcp_options;
};

enum {
	XDP_CHECKSUM_CONFIGURATION_REVISION_1 = 1,
	XDP_CHECKSUM_CONFIGURATION_1_BYTES = 10
};

/* ---- What the driver relies on ---- */

#define ABI_SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
#define ABI_OFF(type, member, off)                                                           \
	_Static_assert(offsetof(struct type, member) == (off), #type "." #member)

_Static_assert(sizeof(void *) == 8, "XDP for Windows is 64-bit only");
ABI_SIZE(nt_unicode_string, 16);
ABI_OFF(nt_unicode_string, text, 8);
ABI_SIZE(nt_object_attributes, 48);
ABI_OFF(nt_object_attributes, name, 16);
ABI_OFF(nt_object_attributes, attributes, 24);
ABI_SIZE(nt_io_status, 16);
ABI_OFF(nt_io_status, information, 8);
ABI_SIZE(xdp_open_packet, 12);
ABI_OFF(xdp_open_packet, object_type, 8);
ABI_SIZE(xdp_ea, 8);
ABI_OFF(xdp_ea, value_len_bytes, 6);
_Static_assert(XDP_EA_BYTES == 41, "length of the extended attribute of an XSK");
_Static_assert(XDP_EA_VALUE_OFF == 25, "offset of its value");
ABI_SIZE(xdp_hook_id, 12);
ABI_SIZE(xdp_port_set, 16);
ABI_SIZE(xdp_ip_port_set, 32);
ABI_OFF(xdp_ip_port_set, ports, 16);
_Static_assert(sizeof(union xdp_pattern) == 40, "XDP_MATCH_PATTERN");
ABI_SIZE(xdp_redirect, 16);
ABI_SIZE(xdp_rule, 72);
ABI_OFF(xdp_rule, pattern, 8);
ABI_OFF(xdp_rule, action, 48);
ABI_OFF(xdp_rule, redirect, 56);
ABI_SIZE(xdp_program_open, 40);
ABI_OFF(xdp_program_open, queue, 16);
ABI_OFF(xdp_program_open, rules, 32);
ABI_SIZE(xsk_bind, 12);
ABI_SIZE(xsk_activate, 4);
ABI_SIZE(xsk_set_sockopt, 16);
ABI_OFF(xsk_set_sockopt, value, 8);
ABI_SIZE(xsk_notify, 8);
ABI_SIZE(xsk_umem_reg, 24);
ABI_OFF(xsk_umem_reg, address, 16);
ABI_SIZE(xsk_ring_info, 40);
ABI_OFF(xsk_ring_info, elements_off, 8);
ABI_OFF(xsk_ring_info, producer_off, 12);
ABI_OFF(xsk_ring_info, consumer_off, 16);
ABI_OFF(xsk_ring_info, flags_off, 20);
ABI_OFF(xsk_ring_info, size, 24);
ABI_OFF(xsk_ring_info, stride_bytes, 28);
ABI_SIZE(xsk_ring_info_set, 160);
ABI_OFF(xsk_ring_info_set, completion, 40);
ABI_OFF(xsk_ring_info_set, rx, 80);
ABI_OFF(xsk_ring_info_set, tx, 120);
ABI_SIZE(xsk_statistics, 32);
ABI_SIZE(xsk_descriptor, 16);
ABI_OFF(xsk_descriptor, len_bytes, 8);
ABI_SIZE(xdp_checksum_configuration, 12);
ABI_OFF(xdp_checksum_configuration, enabled, 8);

#endif
