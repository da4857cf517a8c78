/* neigh_win.h: the way to a peer that was not heard, asked of Windows off the packet path.
 *
 * A peer's own frames show the way back to it (neigh.h); a client's first packet has none.  A
 * thread of its own asks Windows for the route and the neighbour, which may take seconds
 * (ResolveIpNetEntry2 sends ARP or neighbour solicitations and waits); until it knows, and
 * for peers behind another interface, the socket sends.
 *
 * An answer holds until Windows says that routes or addresses changed, or it gets old; before
 * that it is renewed while it is used.  Everything is bounded: so many peers, so many
 * questions waiting. */
#ifndef QX_NEIGH_WIN_H
#define QX_NEIGH_WIN_H

#include "neigh.h"
#include "nic.h"

struct neigh_win;

/* neigh_win_open starts the thread for one interface.  Returns 0 or -errno. */
int neigh_win_open(struct neigh_win **out, uint32_t ifindex);

/* neigh_win_close ends the thread.  Cost: may wait for one resolution, some seconds at worst. */
void neigh_win_close(void *n);

/* neigh_win_find is nic.h's find_way: 1 and *out if the way leads over the interface, 0 if it
 * does not or is not known, and then the thread has been asked.  heard_ns of *out is now_ns.
 * Cost: a lock that is held for a look-up; no system call for what is known. */
int neigh_win_find(void *n, const struct qx_addr *peer, uint64_t now_ns,
		   struct qx_neigh *out);

/* neigh_win_join lets a NIC ask (nic.h, find_way); the device closes it.  0 or -errno. */
int neigh_win_join(struct qx_nic *nic);

/* The states of a peer's way and what may happen to it, written out in full. */
enum way_state {
	WAY_NONE,      /* nobody has asked */
	WAY_ASKED,     /* the thread will, or does */
	WAY_KNOWN,     /* it leads over the interface */
	WAY_RENEWED,   /* known, and asked again */
	WAY_ELSEWHERE, /* it does not, or there is none */
	WAY_STATE_CNT
};

enum way_event {
	WAY_WANTED,  /* a packet is to be sent */
	WAY_LEADS,   /* Windows: over this interface */
	WAY_MISSES,  /* Windows: over another, or nowhere */
	WAY_AGED,    /* half its time is over (known), all of it (elsewhere) */
	WAY_EXPIRED, /* all of it is over */
	WAY_CHANGED, /* routes or addresses did */
	WAY_EVENT_CNT
};

extern const uint8_t way_next[WAY_STATE_CNT][WAY_EVENT_CNT];

#endif
