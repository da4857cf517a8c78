/* quicxdp.h: the C API of datapaths, as Python's cffi sees it.  Besides it there are
 * quicxdp_tap.h, quicxdp_engine.h and quicxdp_admission.h, under the same conventions.
 *
 * A struct qx_datapath is one UDP address and port of this process.  Datagrams travel
 * in and out of it over lanes:
 *
 *      QX_LANE_SOCKET   the kernel's UDP socket, batched (recvmmsg + UDP_GRO,
 *                       sendmmsg + UDP_SEGMENT); always open, except in the simulation
 *      QX_LANE_XDP      AF_XDP rings of a named interface, or the simulated NIC
 *
 * The lane of an outgoing datagram is chosen per destination, inside; callers never
 * choose.  What the XDP lane does not fully understand arrives over the socket.
 *
 *      received  qx_recv -> batch of lent datagrams -> qx_recv_done
 *      sent      qx_reserve -> write payloads -> qx_commit -> ... -> qx_flush
 *                or qx_send, which does all of it for payloads that lie in one buffer
 *
 * Conventions of every function here
 *   Returns  0 or a count, or -errno (the positive Linux numbers, also on Windows).
 *   Thread   the one thread that opened the datapath; nothing here locks.
 *   Time     now_ns and deadlines are nanoseconds of CLOCK_MONOTONIC (Windows: of
 *            QueryPerformanceCounter) and come from the caller; the simulation is given
 *            virtual time.
 *   Cost     no allocation after qx_open; nothing blocks, nothing logs.
 *   Hostile  bytes from the network end in a delivered datagram or in a counted drop.
 *
 * The build script feeds these files to cffi without its preprocessor lines (except the
 * integer constants), so they stay plain: no macros with arguments, no inline code.
 */
#ifndef QUICXDP_H
#define QUICXDP_H

#include <stddef.h>
#include <stdint.h>

#define QX_BATCH_MAX 256   /* datagrams of one batch */
#define QX_WHY_BYTES 256   /* size of the sentence that qx_open may fill */
#define QX_IFNAME_BYTES 16 /* IFNAMSIZ */
#define QX_QUEUE_MAX 64    /* of one interface */
#define QX_MORE_INTERFACES_MAX 7
#define QX_UDP_PAYLOAD_MAX 65507
#define QX_SOURCE_RULES_MAX 4096

enum qx_family {
	QX_UNSPEC = 0,
	QX_IPV4 = 4,
	QX_IPV6 = 6
};

/* ECN codepoints as they stand in the IP header (RFC 3168 section 5). */
enum qx_ecn {
	QX_ECN_NOT_ECT = 0,
	QX_ECN_ECT1 = 1,
	QX_ECN_ECT0 = 2,
	QX_ECN_CE = 3
};

enum qx_lane {
	QX_LANE_SOCKET = 0,
	QX_LANE_XDP = 1,
	QX_LANE_CNT = 2
};

/* How packets travel between the rings and an interface. */
enum qx_xdp_mode {
	QX_XDP_AUTO = 0,     /* wanted: zero-copy where the driver offers it, else copy */
	QX_XDP_COPY = 1,     /* the driver's packets are copied into our frames */
	QX_XDP_ZEROCOPY = 2, /* the NIC reads and writes our frames */
	QX_XDP_GENERIC = 3,  /* without the driver: of packets that the kernel has made */
	QX_XDP_MODE_CNT = 4
};

/* What pages the frames lie in. */
enum qx_pages {
	QX_PAGES_NORMAL = 0,
	QX_PAGES_ADVISED = 1, /* the kernel was asked for huge ones, and gives what it has */
	QX_PAGES_HUGE = 2,    /* reserved ones, vm.nr_hugepages */
	QX_PAGES_CNT = 3
};

/* Where a frame of the XDP lane is; the figure in umem.h explains the moves. */
enum qx_frame_state {
	QX_FRAME_FREE = 0,  /* ours, unused */
	QX_FRAME_FILL = 1,  /* the kernel's, for receiving */
	QX_FRAME_LENT = 2,  /* received; the caller's until qx_recv_done */
	QX_FRAME_TX = 3,    /* the kernel's, for sending */
	QX_FRAME_BUILT = 4, /* reserved for sending, being written */
	QX_FRAME_STATE_CNT = 5
};

/* The rings of an XDP queue; their fill in the statistics is summed over the queues. */
enum qx_ring_kind {
	QX_RING_FILL = 0,       /* frames that the kernel may receive into */
	QX_RING_RX = 1,         /* received, not taken yet */
	QX_RING_TX = 2,         /* to be sent, not taken by the kernel yet */
	QX_RING_COMPLETION = 3, /* sent, not taken back yet */
	QX_RING_KIND_CNT = 4
};

/* Why a datagram was not delivered or not sent.  The first group are the verdicts of the
 * wire parser, in the order in which it looks; the second are policy; the third are ours. */
enum qx_drop {
	QX_DROP_NONE = 0,
	QX_DROP_TRUNCATED = 1, /* shorter than its headers say */
	QX_DROP_DEST_MAC = 2,  /* not addressed to this device */
	QX_DROP_ETHERTYPE = 3, /* neither IPv4 nor IPv6 (VLAN tags included) */
	QX_DROP_IP_HEADER = 4, /* version, options or header length we do not take */
	QX_DROP_IP_LENGTH = 5, /* total length contradicts the frame */
	QX_DROP_IP_CHECKSUM = 6,
	QX_DROP_FRAGMENT = 7,
	QX_DROP_NOT_UDP = 8,    /* other protocol, or an IPv6 extension header */
	QX_DROP_UDP_LENGTH = 9, /* contradicts the IP length (superframes included) */
	QX_DROP_UDP_CHECKSUM = 10,
	QX_DROP_SOURCE_ADDRESS =
		11,               /* loopback, multicast, broadcast, unspecified, our own */
	QX_DROP_SOURCE_PORT = 12, /* port 0 */
	QX_DROP_NOT_OURS = 13,    /* no endpoint of this process has that address and port */
	QX_DROP_WRONG_PEER = 14,  /* a connected endpoint heard somebody else */
	QX_DROP_INBOX_FULL = 15,  /* the endpoint does not read fast enough */
	QX_DROP_DESCRIPTOR = 16,  /* the ring named a frame that was not the kernel's */
	QX_DROP_OVERLONG = 17, /* RX: longer than a buffer; TX: longer than the path takes */
	QX_DROP_SEND_ERROR = 18,  /* the kernel refused it; see qx_next_error */
	QX_DROP_DEVICE_GONE = 19, /* in flight when the interface went away */
	QX_DROP_DENIED = 20,      /* its source is not allowed; see qx_source_rule */
	QX_DROP_CNT = 21
};

/* An IP address and UDP port.  All 24 bytes are significant (unused ones are zero), so
 * that two equal addresses are equal bytes. */
struct qx_addr {
	uint8_t ip[16]; /* network order; IPv4 in the first four bytes */
	uint16_t port;  /* host order */
	uint8_t family; /* enum qx_family; IPv4-mapped addresses never occur: they are IPv4 */
	uint8_t zero;
	uint32_t scope_id; /* IPv6 link-local only: interface index */
};

/* The path of a datagram, seen from us (RFC 9000 section 9): received from peer at local,
 * or to be sent from local to peer.  Sending, a local.family of QX_UNSPEC leaves the
 * source address to the lane; local.port is always the endpoint's own. */
struct qx_path {
	struct qx_addr peer;
	struct qx_addr local;
};

/* One received datagram. */
struct qx_datagram {
	uint8_t *data;      /* payload, lent until qx_recv_done */
	uint32_t off_bytes; /* the same place, as an offset into qx_memory(lane) */
	uint32_t len_bytes; /* 0 is legal */
	uint32_t frame;     /* opaque: names the buffer for qx_recv_done */
	uint16_t path;      /* index into the batch's paths */
	uint8_t ecn;        /* enum qx_ecn */
	uint8_t lane;       /* QX_LANE_SOCKET, or QX_LANE_XDP plus which interface, from 0 */
};

/* What one qx_recv moved.  Neighbouring datagrams of one path share its entry; the same
 * path may have several entries.  Kept by the caller, reused for every call. */
struct qx_batch {
	uint32_t datagram_cnt;
	uint32_t path_cnt;
	struct qx_datagram datagrams[QX_BATCH_MAX];
	struct qx_path paths[QX_BATCH_MAX];
};

/* Room for one outgoing datagram, from qx_reserve to qx_commit. */
struct qx_slot {
	uint8_t *data;      /* where the payload goes */
	uint32_t len_bytes; /* reserve: the room; commit: what was written, 0 gives it back */
	uint32_t frame;     /* opaque */
	uint8_t ecn;        /* enum qx_ecn; reserve sets QX_ECN_NOT_ECT */
	uint8_t lane;       /* enum qx_lane, decided by reserve */
	uint8_t empty;      /* 1: with len_bytes 0, send a datagram without payload; reserve
				 sets 0 */
	uint8_t zero;
};

/* One datagram of a qx_send call; exactly 8 bytes, little-endian on every platform we
 * build for, so that Python may build an array of them as 64-bit integers. */
struct qx_send_item {
	uint32_t len_bytes; /* of the payload buffer, following the items before it */
	uint16_t path;      /* index into paths */
	uint8_t ecn;
	uint8_t zero;
};

/* A send or receive error that the kernel reported for one peer.  ICMP messages are reported
 * to endpoints with a remote address, as sockets do, if they fit what was sent; a path's MTU
 * that they told limits what qx_reserve takes for any endpoint's peer, for ten minutes. */
struct qx_error {
	int32_t code;       /* positive errno */
	uint16_t mtu_bytes; /* EMSGSIZE by ICMP: the path's, as an IP packet; else 0 */
	uint8_t icmp;       /* 1: an ICMP message said so, about an earlier datagram */
	uint8_t zero;
	struct qx_addr peer; /* QX_UNSPEC where the kernel did not say */
};

enum qx_config_flags {
	QX_CFG_V6ONLY = 1, /* an IPv6 socket refuses IPv4 */
	QX_CFG_REUSE_PORT = 2,
	QX_CFG_NO_GSO = 4, /* never UDP_SEGMENT */
	QX_CFG_NO_GRO = 8, /* never UDP_GRO */
	QX_CFG_BROADCAST = 16,
	QX_CFG_TX_SOCKET = 32, /* XDP lane for receiving only */
	/* The caller calls qx_recv all the time and never waits on qx_fd for the XDP lane,
	 * which then does not watch the rings: the kernel's wake-ups cost about 300 ns a
	 * packet on veth, half of it at the sender. */
	QX_CFG_SPIN = 64,
	QX_CFG_HUGE_PAGES = 128, /* frames in huge pages if there are any */
	/* As QX_CFG_TX_SOCKET on interfaces that are not in zero-copy mode: UDP_SEGMENT sends
	 * for less than AF_XDP copies. */
	QX_CFG_TX_SOCKET_IF_COPIED = 256
};

/* Whether datagrams from a block of addresses are taken.  The most specific rule decides;
 * what no rule holds is taken, unless some rule allows.  Checked before anything else is
 * done with a datagram, on either lane. */
struct qx_source_rule {
	uint8_t ip[16];      /* as in qx_addr; bits behind the prefix do not matter */
	uint8_t family;      /* enum qx_family */
	uint8_t prefix_bits; /* 0: all addresses of the family */
	uint8_t allow;       /* 1: taken, 0: dropped and counted as QX_DROP_DENIED */
	uint8_t zero;
};

struct qx_config {
	struct qx_addr local;            /* port 0: the kernel picks one */
	struct qx_addr remote;           /* QX_UNSPEC: not connected */
	char interface[QX_IFNAME_BYTES]; /* "": socket lane only */
	/* Besides, for an endpoint on a wildcard address; "" ends them. */
	char more_interfaces[QX_MORE_INTERFACES_MAX][QX_IFNAME_BYTES];
	int32_t socket_fd;     /* a bound UDP socket to adopt, or -1 */
	uint32_t flags;        /* enum qx_config_flags */
	uint32_t rx_frame_cnt; /* per queue, power of two; 0: as design and memlock allow */
	uint32_t tx_frame_cnt; /* per device, power of two; 0: likewise */
	/* enum qx_xdp_mode.  QX_XDP_COPY and on insist: qx_open fails if it cannot be had. */
	uint32_t xdp_mode;
	/* SO_BUSY_POLL: whoever receives works the driver's queue off, for so long and in
	 * steps of so many packets (0: 64), instead of being interrupted; 0: no.  The mode,
	 * the pages and this are a device's, decided by its first endpoint. */
	uint32_t busy_poll_us;
	uint32_t busy_poll_budget;
	uint32_t socket_buffer_bytes; /* SO_RCVBUF and SO_SNDBUF wanted; 0: 8 MiB */
	uint32_t source_rule_cnt;     /* at most QX_SOURCE_RULES_MAX */
	const struct qx_source_rule *source_rules; /* copied by qx_open */
};

struct qx_lane_stats {
	uint64_t rx_packets; /* datagrams delivered to the caller */
	uint64_t rx_bytes;   /* their payload */
	uint64_t tx_packets; /* datagrams handed to the kernel */
	uint64_t tx_bytes;
	uint64_t rx_syscalls;
	uint64_t tx_syscalls;
};

/* What an interface's device turned out to be. */
struct qx_interface_info {
	char name[QX_IFNAME_BYTES];
	uint32_t queue_cnt;         /* RX queues polled */
	uint8_t mode[QX_QUEUE_MAX]; /* enum qx_xdp_mode, by queue, as the kernel says */
	uint8_t pages;              /* enum qx_pages */
	uint8_t busy_poll;          /* 1: on */
	uint8_t tx;                 /* 1: it is sent over as well, 0: the socket lane sends */
	uint8_t zero;
	uint32_t frame_bytes;
	char note[QX_WHY_BYTES]; /* less was had than wanted: how much, and the remedy */
};

/* Counters only grow; gauges say so.  lane[] counts the endpoint's own packets, over all its
 * interfaces.  The XDP lane's system calls, drops that concern no endpoint in particular, and
 * all from fill_wakeups on are the device's: with several endpoints on one interface, each
 * reports the same sums there. */
struct qx_stats {
	struct qx_lane_stats lane[QX_LANE_CNT];
	uint64_t drop[QX_DROP_CNT]; /* by enum qx_drop */
	uint64_t errors_lost;       /* qx_error entries overwritten before they were read */
	uint64_t turns;             /* qx_recv calls: how often somebody woke up or looked */
	uint64_t turns_empty;       /* of those, how many found nothing */
	uint64_t kernel_socket_dropped; /* by the kernel, its socket's buffer being full */

	uint64_t fill_wakeups;     /* of the kernel, for an empty fill ring */
	uint64_t tx_wakeups;       /* of the kernel, to send; each may be many calls */
	uint64_t rx_ring_produced; /* sum of the RX rings' producer indices */
	uint64_t completion_ring_produced; /* sum of the completion rings' */
	uint64_t kernel_rx_dropped;        /* struct xdp_statistics, summed over queues */
	uint64_t kernel_rx_invalid_descs;
	uint64_t kernel_tx_invalid_descs;
	uint64_t kernel_rx_ring_full;
	uint64_t kernel_fill_ring_empty;
	uint64_t kernel_tx_ring_empty;

	uint64_t icmp_believed; /* messages about what this endpoint has sent */
	uint64_t icmp_ignored;  /* messages that do not fit what it has sent */

	/* The mirror of the kernel's routes and neighbours (the device's too). */
	uint64_t mirror_dumps;        /* read from the beginning: 1 at opening */
	uint64_t mirror_overruns;     /* messages were lost, so it was read again */
	uint64_t mirror_solicits;     /* stale neighbours asked for */
	uint64_t mirror_link_changes; /* of up or down, MTU and MAC address */
	uint64_t mirror_bad_messages;
	uint64_t mirror_routes; /* gauge: routes held */

	uint32_t frame_cnt;                  /* gauge */
	uint32_t frames[QX_FRAME_STATE_CNT]; /* gauge: the census; sums to frame_cnt */
	uint32_t rings[QX_RING_KIND_CNT];    /* gauge: what stands in the rings */
	uint32_t queue_cnt;                  /* gauge: RX queues polled */
	uint32_t zerocopy; /* gauge: 1 if XDP_OPTIONS says so of every queue */
};

struct qx_datapath;

/* qx_open binds the UDP socket and, if cfg names an interface, joins that interface's XDP
 * device (attaching it if this is its first endpoint).  Order: socket, maps, attach.
 *
 * Returns  0 and *out, or -errno with why filled: a sentence that a person can act on,
 *          NUL-terminated ("veth1: another XDP program is attached; ...").  On success why
 *          is empty, or a note: fewer buffers or queues than wanted, and the remedy.
 * Owner    the caller, until qx_close.
 * Errors   -EADDRINUSE port taken; -ENODEV no such interface; -EBUSY another XDP program,
 *          or the device belongs to another thread; -EPERM capability missing;
 *          -ENOBUFS memlock; -EOPNOTSUPP the driver has no native XDP; -EINVAL the
 *          configuration contradicts itself. */
int qx_open(struct qx_datapath **out, const struct qx_config *cfg, char *why);

/* qx_close unregisters from the device, detaches it after its last endpoint, closes the
 * socket and frees everything.  Batches and slots of dp are dead afterwards. */
void qx_close(struct qx_datapath *dp);

/* qx_fd is readable while qx_recv has something to do or the armed deadline has passed;
 * for epoll and for an event loop's add_reader.  Owner: dp.  Never read or close it.
 * Windows has no such descriptor: -1, and qx_wait in its place. */
int qx_fd(const struct qx_datapath *dp);

/* qx_wait returns as soon as qx_fd is, or on Windows would be, readable.  It looks again and
 * again for spin_ns, which costs a core and saves the time of a wake-up, and then sleeps.
 *
 * Returns  1, or 0 when timeout_ns have passed (UINT64_MAX: never).
 * Thread   any one thread besides dp's own, which may use dp meanwhile but not close it;
 *          qx_arm(dp, 0) ends the wait. */
int qx_wait(struct qx_datapath *dp, uint64_t spin_ns, uint64_t timeout_ns);

/* qx_spin looks again and again for at most spin_ns whether qx_fd is readable, and never
 * sleeps; with busy polling it works the drivers' queues off meanwhile.
 *
 * Returns  1 as soon as it is, else 0.
 * Cost     a core; a system call per look, and one per queue with busy polling. */
int qx_spin(struct qx_datapath *dp, uint64_t spin_ns);

/* qx_arm makes qx_fd readable at deadline_ns (already past: at once); UINT64_MAX disarms.
 * At most one system call, none if the deadline did not change.  In the simulation it does
 * nothing: virtual deadlines pass when their owner says so. */
int qx_arm(struct qx_datapath *dp, uint64_t deadline_ns);

/* qx_hold keeps lanes from making qx_fd readable, until it is called again with 0; the armed
 * deadline and other endpoints of the device still do.  What arrives meanwhile waits, and
 * qx_recv takes it as ever: under a flood of packets that nobody wants, one wake-up for many.
 * At most one system call.  In the simulation it does nothing.
 * Errors   -EOPNOTSUPP on Windows. */
int qx_hold(struct qx_datapath *dp, uint32_t hold);

/* qx_recv moves what has arrived into *batch, overwriting it; every batch must go to
 * qx_recv_done before the next call.
 *
 * Returns  the number of datagrams.  QX_BATCH_MAX means that more may be waiting and that
 *          qx_fd may not say so: call again after handling these.
 * Owner    each data is lent until qx_recv_done.
 * Errors   -ENETDOWN the interface is gone, -ESTALE it has changed; each reported once, the
 *          socket lane goes on, and qx_rejoin may follow.
 *          -EBUSY the last batch was not given back. */
int qx_recv(struct qx_datapath *dp, struct qx_batch *batch, uint64_t now_ns);

/* qx_rejoin joins the interface again that qx_recv has called gone or changed (more or fewer
 * queues, another MAC address, a larger MTU): one of the same name may be there by now.  It
 * leaves the old device first; until it succeeds the socket lane carries everything, and it
 * may be called as often as its caller likes.  What qx_memory has told ends with it.
 *
 * Returns  0 and why as qx_open; 0 also if there is nothing to do.
 * Errors   -ENODEV there is no such interface; -EADDRNOTAVAIL it has no address yet; -EAGAIN
 *          the kernel has not released everything yet, or another endpoint has not left the
 *          old device: later; -EPERM the rights that it was opened with were given up;
 *          -EBUSY a batch was not given back; -EINVAL it never had an interface; others as
 *          qx_open.
 * Cost     that of opening, without its waiting: allocations, system calls per queue, 20 ms on
 *          a veth; leaving a device that lives, 50 ms with two queues. */
int qx_rejoin(struct qx_datapath *dp, char *why);

/* qx_recv_done returns the buffers of a whole batch and empties it (datagram_cnt = 0). */
void qx_recv_done(struct qx_datapath *dp, struct qx_batch *batch);

/* qx_reserve takes room for up to n datagrams of at most len_bytes each to one path.
 * Exactly one qx_commit with the same array must follow before anything else is called.
 *
 * Returns  how many slots were filled in, 0 if nothing is free now (qx_flush and wait),
 *          -EMSGSIZE if len_bytes cannot be sent on that path, as far as interface, route
 *          and ICMP tell.
 * Cost     sizes equal in a row go out as one UDP_SEGMENT send: reserve what you fill. */
int qx_reserve(struct qx_datapath *dp, const struct qx_path *path, uint32_t len_bytes,
	       struct qx_slot *slots, uint32_t n);

/* qx_commit queues the first n slots as written, in order; the caller passes exactly the
 * slots that qx_reserve filled in. */
int qx_commit(struct qx_datapath *dp, const struct qx_slot *slots, uint32_t n);

/* qx_flush hands all that is queued to the kernel: one kick or system call per batch.
 *
 * Returns  0 when everything went, 1 when something had to stay (qx_fd becomes readable
 *          once there is room again).  Failures of single datagrams are counted and go to
 *          qx_next_error. */
int qx_flush(struct qx_datapath *dp);

/* qx_send copies item_cnt datagrams out of payload, queues and flushes them: the whole
 * sending half of a turn in one call.
 *
 * Returns  how many were taken, counted from the front; the rest found no room: keep them
 *          and call again when qx_fd is readable.  Datagrams that can never be sent count
 *          as taken and appear in qx_next_error. */
int qx_send(struct qx_datapath *dp, const uint8_t *payload, const struct qx_send_item *items,
	    uint32_t item_cnt, const struct qx_path *paths, uint32_t path_cnt);

/* qx_next_error takes the oldest unread error.  Returns 1, or 0 when there is none. */
int qx_next_error(struct qx_datapath *dp, struct qx_error *out);
/* qx_error_cnt is how many it would return. */
uint32_t qx_error_cnt(const struct qx_datapath *dp);

/* qx_local is the bound address, with the port that the kernel picked. */
void qx_local(const struct qx_datapath *dp, struct qx_addr *out);

/* qx_memory is the one region that all received payloads of a lane (as in qx_datagram: of an
 * interface) lie in, so that Python can slice it by off_bytes.  Returns its length, 0 if dp
 * does not have that lane. */
size_t qx_memory(const struct qx_datapath *dp, uint32_t lane, uint8_t **base);

/* qx_interface tells of dp's interface number n, from 0.  Returns 1 and *out, or 0: dp has no
 * such, or qx_recv has called it gone or changed and qx_rejoin has not joined it again. */
int qx_interface(const struct qx_datapath *dp, uint32_t n, struct qx_interface_info *out);

/* qx_get_stats fills *out; one system call, and two per XDP queue. */
int qx_get_stats(struct qx_datapath *dp, struct qx_stats *out);

/* qx_forked tells every datapath of this process that it now runs in a forked child: from
 * here on each call fails with -EPERM, since the rings were not inherited (MADV_DONTFORK).
 * For an at-fork handler; qx_close then only frees memory and closes descriptors. */
void qx_forked(void);

/* qx_drop_name and friends give the short lower-case name of a constant, for metrics;
 * NULL past the last one. */
const char *qx_drop_name(uint32_t reason);
const char *qx_frame_state_name(uint32_t state);
const char *qx_ring_name(uint32_t ring);
const char *qx_xdp_mode_name(uint32_t mode);
const char *qx_pages_name(uint32_t pages);

/* ---- The simulated NIC (memory.c): two datapaths joined by a link on virtual time ---- */

struct qx_link;

/* What happens to frames between the two ends; "ppm" are chances per million, drawn from
 * a generator seeded by seed, so a run repeats exactly.  Changed at any time. */
struct qx_link_config {
	uint64_t seed;
	uint64_t delay_ns;         /* one way */
	uint64_t reorder_delay_ns; /* extra delay of a reordered frame */
	uint64_t rate_bytes_per_s; /* 0: unlimited */
	uint32_t mtu_bytes;        /* IP packet; longer ones are dropped */
	uint32_t loss_ppm;
	uint32_t duplicate_ppm;
	uint32_t reorder_ppm;
	uint32_t ce_ppm;     /* ECT frames that get CE */
	uint32_t rx_stalled; /* bit n: end n's kernel delivers nothing (full ring) */
	uint32_t tx_stalled; /* bit n: end n's kernel completes nothing */
};

/* The owner frees the link after all its datapaths are closed.  Errors: -EINVAL a chance
 * above a million, an MTU that frames cannot hold (0 means 1500); -ENOMEM. */
int qx_link_open(struct qx_link **out, const struct qx_link_config *cfg);
void qx_link_close(struct qx_link *link);
int qx_link_configure(struct qx_link *link, const struct qx_link_config *cfg);

/* qx_link_advance sets the virtual clock (never back), delivers every frame due by then and
 * completes transmissions.  Returns when the next frame is due or has left, UINT64_MAX if
 * none is under way.  A sender whose qx_flush left something must flush again. */
uint64_t qx_link_advance(struct qx_link *link, uint64_t now_ns);

/* qx_link_inject delivers raw Ethernet bytes to end 0 or 1 as if they had come over the
 * wire; for tests and fuzzers.  Returns 0, -ENOSPC if the RX ring or fill ring is out,
 * -EMSGSIZE if no frame holds so much, -ENODEV if that end is not open, -EINVAL if there
 * is no such end. */
int qx_link_inject(struct qx_link *link, uint32_t end, const uint8_t *frame,
		   uint32_t len_bytes);

/* qx_open_memory opens an endpoint at end 0 or 1 of a link; several may share an end, as
 * endpoints share an interface.  cfg->interface and socket_fd are ignored, cfg->local must
 * name an address that a wire carries (so not 127.0.0.1) and a port; there is no socket
 * lane.  mtu_bytes of the link is the NIC's from its first endpoint on. */
int qx_open_memory(struct qx_datapath **out, struct qx_link *link, uint32_t end,
		   const struct qx_config *cfg, char *why);

#endif
