/* device.h: one interface of this process, shared by the endpoints on it.
 *
 * A device owns its NIC's frames: it polls the RX rings, parses, finds the port (the
 * endpoint's registration) by destination and leaves the frame in that port's inbox; it
 * builds and queues what ports send.  Any port's poll drains the rings for all of them and
 * signals the others, so no endpoint needs a thread and none can be starved of wake-ups.
 *
 * Devices are reference-counted by their ports and found by interface name; one thread
 * uses a device (-EBUSY otherwise). */
#ifndef QX_DEVICE_H
#define QX_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "acl.h"
#include "nic.h"
#include "quicxdp.h"
#include "tap.h"

struct qx_device;
struct qx_port;

/* device_get returns the interface's device, opening it for the first port; device_put
 * closes it after the last.  Between them every port_open holds one more reference.
 * cfg->at_once belongs to who has left a device and never gets a stale one back: -EAGAIN or
 * -EBUSY while others are still on that. */
int device_get(struct qx_device **out, const struct qx_nic_config *cfg, char *why);

/* device_wrap makes a device of a NIC that is not found by name (the simulation) and owns
 * the NIC from then on, also on failure. */
int device_wrap(struct qx_device **out, struct qx_nic *nic, char *why);
void device_put(struct qx_device *dev);

/* device_forked: the rings are gone in this process; later calls only free memory. */
void device_forked(void);

uint32_t device_queue_cnt(const struct qx_device *dev);
/* The descriptors of nic.h's struct qx_queue. */
int device_queue_fd(const struct qx_device *dev, uint32_t queue);
int device_queue_tx_fd(const struct qx_device *dev, uint32_t queue);

/* device_event_fd is readable when something happened to the interface, or -1; to be
 * watched like the queues' descriptors (port_recv then notices a deleted interface). */
int device_event_fd(const struct qx_device *dev);
/* device_copies: is there a queue that is not in zero-copy mode? */
bool device_copies(const struct qx_device *dev);
void device_info(const struct qx_device *dev, struct qx_interface_info *out);
size_t device_memory(const struct qx_device *dev, uint8_t **base);

/* device_set_tap lets the tap see all frames of the device; device_drop_tap undoes one such
 * call.  -EBUSY there is another tap; -ENOSPC no more lanes fit its file. */
int device_set_tap(struct qx_device *dev, struct qx_tap *tap);
void device_drop_tap(struct qx_device *dev);

/* port_open registers local (a wildcard address: every address of its family that the
 * interface has, also later; family QX_UNSPEC with a port, for dual-stack sockets: of both) and
 * then attaches the device if this is its first port.  remote.family QX_UNSPEC accepts
 * everybody.  wake(arg) is called when another port's poll filled this inbox. */
int port_open(struct qx_port **out, struct qx_device *dev, const struct qx_addr *local,
	      const struct qx_addr *remote, void (*wake)(void *), void *arg, char *why);

/* port_close unregisters, returns what the inbox holds to the fill rings, detaches the
 * device if this was its last port. */
void port_close(struct qx_port *port);

/* port_set_acl: only what acl allows is received; NULL allows all.  Owner: the caller, for
 * as long as the port is open. */
void port_set_acl(struct qx_port *port, const struct qx_acl *acl);

/* port_recv polls the device and appends this port's datagrams to *batch.  Returns how
 * many, or -ENETDOWN once the interface is gone, or -ESTALE if it is not what it was when the
 * device was opened (each reported once). */
int port_recv(struct qx_port *port, struct qx_batch *batch, uint64_t now_ns);

/* port_busy_poll lets the driver put into the rings what it has, without taking it; does
 * nothing unless port_busy_polls. */
bool port_busy_polls(const struct qx_port *port);
void port_busy_poll(struct qx_port *port);

/* port_recv_done returns a frame to the fill ring of the queue it came from; the ring is
 * published, and the kernel woken if it asks, by port_recv_publish. */
void port_recv_done(struct qx_port *port, uint32_t frame);
void port_recv_publish(struct qx_port *port);

/* port_expect is called by whoever may now sleep on the queues' descriptors: for datagrams,
 * and if room, for tx frames too. */
void port_expect(struct qx_port *port, bool room);

/* port_can_reach: is there a way to this peer now? */
bool port_can_reach(struct qx_port *port, const struct qx_path *path);

/* port_reserve, port_commit and port_flush are qx_reserve, qx_commit and qx_flush for
 * this lane; the caller has asked port_can_reach for the same path just before. */
int port_reserve(struct qx_port *port, const struct qx_path *path, uint32_t len_bytes,
		 struct qx_slot *slots, uint32_t n);
int port_commit(struct qx_port *port, const struct qx_slot *slots, uint32_t n);
int port_flush(struct qx_port *port);

/* port_stats adds this port's and the device's counters, and sets the device's gauges. */
int port_stats(struct qx_port *port, struct qx_stats *out);

#endif
