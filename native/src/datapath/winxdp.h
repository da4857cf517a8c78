/* winxdp.h: what the parts of the XDP for Windows back end share, and how it is opened.
 *
 *      winxdp_abi.h      what crosses into the driver
 *      winxdp_nt.h       the calls that it crosses by
 *      winxdp_call.c     one object opened, one request made, errors translated
 *      winxdp_open.c     making and unmaking a NIC
 *      winxdp_queue.c    one queue: two sockets, memory, rings
 *      winxdp_program.c  which addresses and ports the driver redirects
 *      winxdp.c          its calls while it runs
 *
 * Portable: without Windows it runs over the simulator (native/sim_windows) alone. */
#ifndef QX_WINXDP_H
#define QX_WINXDP_H

#include <stdbool.h>
#include <stdint.h>

#include "nic.h"
#include "winxdp_nt.h"

enum {
	/* Each queue may need two places in a wait, which has 64 (WaitForMultipleObjects), and
	 * a few are the wait set's own. */
	WINXDP_QUEUE_MAX = 28,
	/* Rules of one interface: one per local address. */
	WINXDP_RULE_MAX = 255
};

/* What the platform knows of an adapter (nic_win.c, or a test). */
struct winxdp_adapter {
	uint32_t ifindex;
	uint8_t mac[6];
	uint32_t mtu_bytes;
	/* local_addrs is ops->local_addrs of nic.h. */
	int (*local_addrs)(uint32_t ifindex, struct qx_addr *out, uint32_t max);
};

/* winxdp_open opens two XSKs for every queue of the adapter, native mode where it has that,
 * else generic, without redirecting anything yet.  Errors and why as qx_open; on success why
 * is empty or a note. */
int winxdp_open(struct qx_nic **out, const struct winxdp_nt *nt,
		const struct winxdp_adapter *adapter, const struct qx_nic_config *cfg,
		char *why);

/* ---- The rest is for winxdp_*.c ---- */

/* One XSK.  Receiving and sending have one each, because a socket allows one wait at a time:
 * the wait for packets is always under way, the wait for room only sometimes. */
struct winxdp_xsk {
	void *handle;
	bool waiting;             /* wait is the driver's until its status says otherwise */
	struct nt_io_status wait; /* of XSK_IOCTL_NOTIFY_ASYNC */
};

struct winxdp_queue {
	struct winxdp_xsk rx;
	struct winxdp_xsk tx;
	void *program;
	/* Where a TX descriptor's extensions lie; 0 without checksum offload. */
	uint16_t layout_off;
	uint16_t checksum_off;
	bool checksum; /* the adapter computes them now */
};

/* The ports of one local address; its pages are the driver's to read while it is plumbed. */
struct winxdp_address {
	struct qx_addr addr; /* port 0 */
	uint32_t port_cnt;
	uint8_t *ports;
};

struct winxdp {
	struct qx_nic nic; /* first: ops are called with a pointer to it */
	const struct winxdp_nt *nt;
	struct winxdp_adapter adapter;
	bool generic;
	bool attached;
	bool gone;
	bool stuck;     /* the driver never answered a request: x has to stay */
	int call_event; /* for requests that the driver does not answer at once */
	struct nt_io_status call_status;
	struct winxdp_queue queues[WINXDP_QUEUE_MAX];
	/* One more than rules, for the moment in which one takes another's place. */
	struct winxdp_address addresses[WINXDP_RULE_MAX + 1];
	uint32_t address_cnt;
};

static inline struct winxdp *winxdp_of(struct qx_nic *nic)
{
	return (struct winxdp *)nic;
}

extern const struct qx_nic_ops winxdp_ops;

/* winxdp_errno makes -errno of an NTSTATUS. */
int winxdp_errno(int32_t status);

/* winxdp_create opens an object: its type's device, or the common one of drivers before 1.4.
 * params follow the open packet.  Returns an NTSTATUS. */
int32_t winxdp_create(struct winxdp *x, enum xdp_object_type type, const void *params,
		      uint32_t params_bytes, void **handle);

/* winxdp_control makes one request and waits for its end; *out_bytes in: room, out: what the
 * driver wrote.  Returns an NTSTATUS. */
int32_t winxdp_control(struct winxdp *x, void *handle, enum xsk_ioctl code, void *in,
		       uint32_t in_bytes, void *out, uint32_t *out_bytes);
int32_t winxdp_set(struct winxdp *x, void *handle, enum xsk_sockopt option, const void *value,
		   uint32_t len_bytes);

/* winxdp_get asks for an option of exactly this length; a driver that answers with another
 * is NT_NOT_SUPPORTED. */
int32_t winxdp_get(struct winxdp *x, void *handle, enum xsk_sockopt option, void *value,
		   uint32_t len_bytes);

/* winxdp_poke tells a socket to look at its ring: the call of the packet path. */
int32_t winxdp_poke(struct winxdp *x, struct winxdp_xsk *s, enum xsk_notify_flags what);

/* winxdp_wait starts the one wait of a socket, to set event: NT_PENDING, or NT_OK if there is
 * something already.  winxdp_wait_end says if it is over, and takes note. */
int32_t winxdp_wait(struct winxdp *x, struct winxdp_xsk *s, enum xsk_notify_flags what,
		    int event);
bool winxdp_wait_ended(struct winxdp_xsk *s);

/* winxdp_bind_queue opens a queue's receiving socket and binds it.  Returns an NTSTATUS;
 * NT_INVALID_PARAMETER: there is no such queue. */
int32_t winxdp_bind_queue(struct winxdp *x, uint32_t queue);

/* winxdp_start_queue does the rest: memory, the sending socket, rings, activation. */
int winxdp_start_queue(struct winxdp *x, uint32_t queue, uint32_t rx_cnt, uint32_t tx_cnt,
		       char *why);

/* winxdp_close_queue undoes whatever there is.  False if the driver still holds a wait of it:
 * then the memory of x has to stay. */
bool winxdp_close_queue(struct winxdp *x, uint32_t queue);

/* winxdp_read_checksum asks if the adapter finishes a queue's checksums, and sums up. */
void winxdp_read_checksum(struct winxdp *x, uint32_t queue);

/* ops->admit, dismiss, attach and detach of nic.h. */
int winxdp_admit(struct qx_nic *nic, const struct qx_addr *local);
void winxdp_dismiss(struct qx_nic *nic, const struct qx_addr *local);
int winxdp_attach(struct qx_nic *nic, char *why);
void winxdp_detach(struct qx_nic *nic);

/* winxdp_close is ops->close. */
void winxdp_close(struct qx_nic *nic);

#endif
