/* sim_internal.h: what the files of the simulator share. */
#ifndef QX_SIM_WINDOWS_INTERNAL_H
#define QX_SIM_WINDOWS_INTERNAL_H

#include "sim_windows.h"

enum {
	HANDLE_CNT = 512,
	/* Where a simulated ring's parts lie: unlike the driver's, so that no offset can be
	 * taken for granted. */
	RING_CONSUMER_OFF = 64,
	RING_PRODUCER_OFF = 192,
	RING_FLAGS_OFF = 320,
	RING_ELEMENTS_OFF = 384
};

enum sim_ring_name {
	RING_FILL,
	RING_COMPLETION,
	RING_RX,
	RING_TX,
	RING_NAME_CNT
};

enum sim_state {
	STATE_UNBOUND,
	STATE_BOUND,
	STATE_ACTIVE,
	STATE_DETACHED
};

/* The driver's side of a ring.  qx_ring's arithmetic is that of both sides; here the roles
 * are swapped. */
struct sim_ring {
	uint8_t *memory;
	uint64_t memory_bytes;
	struct qx_ring r;
	uint32_t error; /* XSK_ERROR_* */
};

struct sim_wait {
	bool pending;
	uint32_t flags;
	struct nt_io_status *io_status;
	void *event;
};

struct sim_xsk {
	enum sim_state state;
	uint32_t end; /* of the cable */
	uint32_t queue;
	uint32_t directions; /* XSK_BIND_RX, XSK_BIND_TX */
	struct xsk_umem_reg umem;
	struct sim_ring rings[RING_NAME_CNT];
	struct sim_wait wait;
	struct xsk_statistics statistics;
	bool checksum; /* offload asked for */
	uint16_t layout_off;
	uint16_t checksum_off;
	bool scheduled;       /* was poked and is not idle again yet */
	uint32_t outstanding; /* sent, not yet completed */
	uint64_t *under_way;  /* their addresses, in order */
};

struct sim_program {
	uint32_t end;
	uint32_t queue;
	uint32_t rule_cnt;
	struct xdp_rule *rules;
};

struct sim_object {
	enum xdp_object_type type;
	union {
		struct sim_xsk *xsk;
		struct sim_program *program;
	};
};

extern struct sim_object *sim_objects[HANDLE_CNT];
extern bool sim_removed[SIM_ADAPTER_CNT];
extern bool sim_offload_on[SIM_ADAPTER_CNT];

/* sim_object_of finds what a handle means; NULL if nothing. */
struct sim_object *sim_object_of(void *handle);

/* sim_violation counts and prints what a correct caller would not do. */
void sim_violation(const char *what);

int sim_end_of(uint32_t ifindex); /* 0, 1 or -1 */

int32_t sim_xsk_create(struct sim_object *o);
void sim_xsk_close(struct sim_xsk *s);
int32_t sim_xsk_control(struct sim_xsk *s, void *event, struct nt_io_status *io_status,
			uint32_t code, const void *in, uint32_t in_bytes, void *out,
			uint32_t out_bytes);
bool sim_xsk_cancel(struct sim_xsk *s, const struct nt_io_status *which);

/* sim_xsk_end_wait ends a wait for any of these reasons (XSK_WAIT_*), if there is one. */
void sim_xsk_end_wait(struct sim_xsk *s, uint32_t reasons, int32_t status);
void sim_xsk_set_error(struct sim_xsk *s, enum sim_ring_name ring, uint32_t error);

int32_t sim_program_create(struct sim_object *o, const struct xdp_program_open *params);
void sim_program_close(struct sim_program *p);

/* sim_program_match: the XSK that a packet on this queue is redirected to; NULL: none. */
struct sim_xsk *sim_program_match(uint32_t end, uint32_t queue, const uint8_t *frame,
				  uint32_t len_bytes);

#endif
