/* udp.h: the socket lane.  udp_linux.c implements it with recvmmsg + UDP_GRO and
 * sendmmsg + UDP_SEGMENT; udp_win.c with WinSock; udp_own.h holds what both share.
 *
 * Received messages may hold many segments; each becomes one qx_datagram, and a message's
 * buffer is free again when its last segment was given back. */
#ifndef QX_UDP_H
#define QX_UDP_H

#include <stdbool.h>
#include <stdint.h>

#include "acl.h"
#include "icmp.h"
#include "quicxdp.h"

struct qx_udp;

/* udp_open binds (or adopts cfg->socket_fd, owning it from success on), connects if
 * cfg->remote is set, and turns on ECN, destination addresses, DF and GRO.  Returns and
 * why as qx_open. */
int udp_open(struct qx_udp **out, const struct qx_config *cfg, char *why);
void udp_close(struct qx_udp *u);

/* udp_forked: u is a forked child's copy, without the parent's memory (MADV_DONTFORK);
 * only udp_close may follow. */
void udp_forked(struct qx_udp *u);

/* udp_disown makes udp_close leave the descriptor open: an adopted socket is its caller's
 * again when opening fails later on. */
void udp_disown(struct qx_udp *u);

/* udp_set_acl: only what acl allows is received; NULL allows all.  Owner: the caller, until
 * udp_close. */
void udp_set_acl(struct qx_udp *u, const struct qx_acl *acl);

/* udp_set_icmp: who judges the ICMP messages that come for this socket; before anything is
 * sent or received.  Owner: the caller; it outlives u. */
void udp_set_icmp(struct qx_udp *u, struct qx_icmp *icmp);

int udp_fd(const struct qx_udp *u);

/* udp_local is the bound address; udp_remote the connected peer, QX_UNSPEC if there is
 * none.  An adopted socket brings both with it. */
void udp_local(const struct qx_udp *u, struct qx_addr *out);
void udp_remote(const struct qx_udp *u, struct qx_addr *out);

/* udp_is_dual_stack: bound to :: and serving IPv4 too. */
bool udp_is_dual_stack(const struct qx_udp *u);
size_t udp_memory(const struct qx_udp *u, uint8_t **base);

/* udp_recv appends datagrams to *batch until it is full or nothing waits; at most one
 * system call, besides what errors take.  Returns how many. */
int udp_recv(struct qx_udp *u, struct qx_batch *batch);

/* udp_recv_done gives back cnt datagrams that share one frame. */
void udp_recv_done(struct qx_udp *u, uint32_t frame, uint32_t cnt);

/* udp_reserve, udp_commit and udp_flush are qx_reserve, qx_commit and qx_flush for this
 * lane. */
int udp_reserve(struct qx_udp *u, const struct qx_path *path, uint32_t len_bytes,
		struct qx_slot *slots, uint32_t n);
int udp_commit(struct qx_udp *u, const struct qx_slot *slots, uint32_t n);
int udp_flush(struct qx_udp *u);

/* udp_source_for tells from which address the kernel would send to peer, as far as it says
 * so; out->port is not set.  Four system calls. */
int udp_source_for(const struct qx_addr *peer, struct qx_addr *out);

/* udp_next_error is qx_next_error for this lane, udp_error_cnt is qx_error_cnt. */
int udp_next_error(struct qx_udp *u, struct qx_error *out);
uint32_t udp_error_cnt(const struct qx_udp *u);

/* udp_stats adds lane[QX_LANE_SOCKET], drops and errors_lost. */
void udp_stats(const struct qx_udp *u, struct qx_stats *out);

#endif
