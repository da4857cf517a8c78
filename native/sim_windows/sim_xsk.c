/* sim_xsk.c: sockets: their states, options, rings and waits (src/xdp/xsk.c). */
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "sim_internal.h"

int32_t sim_xsk_create(struct sim_object *o)
{
	o->xsk = calloc(1, sizeof(*o->xsk));
	return o->xsk ? NT_OK : NT_INSUFFICIENT_RESOURCES;
}

/* A program that still redirects to it would redirect to nowhere. */
static void check_programs(const struct sim_xsk *s)
{
	for (uint32_t i = 0; i < HANDLE_CNT; i++) {
		const struct sim_object *o = sim_objects[i];

		for (uint32_t r = 0; o && o->type == XDP_PROGRAM && r < o->program->rule_cnt;
		     r++) {
			struct sim_object *target =
				sim_object_of(o->program->rules[r].redirect.target);

			if (target && target->type == XDP_XSK && target->xsk == s)
				sim_violation("a socket closed before its program");
		}
	}
}

void sim_xsk_close(struct sim_xsk *s)
{
	check_programs(s);
	/* Cleanup ends a wait as if there were something (XskIrpCleanup). */
	sim_xsk_end_wait(s, XSK_WAIT_RX | XSK_WAIT_TX, NT_OK);
	for (uint32_t i = 0; i < RING_NAME_CNT; i++)
		if (s->rings[i].memory)
			os_unmap(s->rings[i].memory, s->rings[i].memory_bytes);
	free(s->under_way);
	free(s);
}

/* ---- Waits ---- */

static uint32_t results(uint32_t reasons)
{
	return (reasons & XSK_WAIT_RX ? 1u : 0) | (reasons & XSK_WAIT_TX ? 2u : 0);
}

void sim_xsk_end_wait(struct sim_xsk *s, uint32_t reasons, int32_t status)
{
	struct sim_wait *w = &s->wait;

	if (!w->pending || !(w->flags & reasons))
		return;
	w->pending = false;
	w->io_status->information = status == NT_OK ? results(w->flags & reasons) : 0;
	__atomic_store_n(&w->io_status->status, status, __ATOMIC_RELEASE);
	os_event_set((int)(intptr_t)w->event);
}

bool sim_xsk_cancel(struct sim_xsk *s, const struct nt_io_status *which)
{
	if (!s->wait.pending || s->wait.io_status != which)
		return false;
	sim_xsk_end_wait(s, XSK_WAIT_RX | XSK_WAIT_TX, NT_CANCELLED);
	return true;
}

static uint32_t ready(struct sim_xsk *s, uint32_t flags)
{
	uint32_t found = 0;

	if (flags & XSK_WAIT_RX && ring_pending(&s->rings[RING_RX].r) > 0)
		found |= XSK_WAIT_RX;
	if (flags & XSK_WAIT_TX && ring_pending(&s->rings[RING_COMPLETION].r) > 0)
		found |= XSK_WAIT_TX;
	return found;
}

static int32_t poke(struct sim_xsk *s, uint32_t flags)
{
	_Atomic uint32_t *asked;

	if (flags & XSK_POKE_RX) {
		sim_counts.pokes_rx++;
		asked = s->rings[RING_FILL].r.flags;
		if (!(*asked & XSK_RING_NEED_POKE))
			sim_counts.needless_pokes++;
		atomic_fetch_and(asked, ~(uint32_t)XSK_RING_NEED_POKE);
	}
	if (flags & XSK_POKE_TX) {
		sim_counts.pokes_tx++;
		asked = s->rings[RING_TX].r.flags;
		if (!(*asked & XSK_RING_NEED_POKE))
			sim_counts.needless_pokes++;
		atomic_fetch_and(asked, ~(uint32_t)XSK_RING_NEED_POKE);
		s->scheduled = true;
	}
	return NT_OK;
}

static int32_t notify(struct sim_xsk *s, const struct xsk_notify *in, void *event,
		      struct nt_io_status *io_status, bool async)
{
	const uint32_t rx = XSK_POKE_RX | XSK_WAIT_RX, tx = XSK_POKE_TX | XSK_WAIT_TX;
	uint32_t waits = in->flags & (XSK_WAIT_RX | XSK_WAIT_TX), found;

	if (s->state != STATE_ACTIVE)
		return NT_INVALID_DEVICE_STATE;
	if (in->flags == 0 || in->flags & ~(rx | tx))
		return NT_INVALID_PARAMETER;
	if ((in->flags & rx && !(s->directions & XSK_BIND_RX)) ||
	    (in->flags & tx && !(s->directions & XSK_BIND_TX)))
		return NT_INVALID_DEVICE_STATE;
	if (sim_removed[s->end])
		return NT_DEVICE_REMOVED;
	poke(s, in->flags);
	io_status->information = 0;
	if (!waits)
		return NT_OK;
	sim_counts.waits++;
	found = ready(s, waits);
	if (found) {
		io_status->information = results(found);
		return NT_OK;
	}
	if (s->wait.pending) {
		sim_counts.waits_refused++;
		return NT_INVALID_DEVICE_STATE;
	}
	if (!async)
		return NT_NOT_SUPPORTED; /* one thread: nobody would end it */
	s->wait = (struct sim_wait){true, waits, io_status, event};
	return NT_PENDING;
}

/* ---- Options ---- */

static int32_t set_umem(struct sim_xsk *s, const struct xsk_umem_reg *reg)
{
	if (reg->len_bytes == 0 || reg->len_bytes > UINT32_MAX ||
	    reg->headroom_bytes > UINT16_MAX || reg->headroom_bytes > reg->chunk_bytes ||
	    reg->chunk_bytes > reg->len_bytes || reg->chunk_bytes == 0)
		return NT_INVALID_PARAMETER;
	if (s->state >= STATE_ACTIVE || s->umem.len_bytes)
		return NT_INVALID_DEVICE_STATE;
	s->umem = *reg;
	s->umem.len_bytes -= s->umem.len_bytes % s->umem.chunk_bytes;
	return NT_OK;
}

/* Descriptors of a TX ring with checksum offload are followed by its extensions. */
static uint32_t stride_of(struct sim_xsk *s, enum sim_ring_name name)
{
	uint32_t bytes = name == RING_FILL || name == RING_COMPLETION
				 ? (uint32_t)sizeof(uint64_t)
				 : (uint32_t)sizeof(struct xsk_descriptor);

	if (name == RING_TX && s->checksum) {
		s->layout_off = (uint16_t)(bytes + 3);
		s->checksum_off = (uint16_t)(s->layout_off + XDP_LAYOUT_BYTES);
		bytes += 16;
	}
	return bytes + sim_config.extra_stride_bytes;
}

static int32_t set_ring_size(struct sim_xsk *s, enum sim_ring_name name, uint32_t size)
{
	struct sim_ring *ring = &s->rings[name];
	uint32_t stride_bytes;

	if (size == 0 || size & (size - 1))
		return NT_INVALID_PARAMETER;
	if (s->state >= STATE_ACTIVE || ring->memory)
		return NT_INVALID_DEVICE_STATE;
	stride_bytes = stride_of(s, name);
	ring->memory_bytes = RING_ELEMENTS_OFF + (uint64_t)size * stride_bytes;
	ring->memory = os_map(ring->memory_bytes);
	if (!ring->memory)
		return NT_INSUFFICIENT_RESOURCES;
	ring->r = (struct qx_ring){
		.producer = (_Atomic uint32_t *)(void *)(ring->memory + RING_PRODUCER_OFF),
		.consumer = (_Atomic uint32_t *)(void *)(ring->memory + RING_CONSUMER_OFF),
		.flags = (_Atomic uint32_t *)(void *)(ring->memory + RING_FLAGS_OFF),
		.elements = ring->memory + RING_ELEMENTS_OFF,
		.stride_bytes = stride_bytes,
		.size = size,
	};
	if (name == RING_TX)
		*ring->r.flags = XSK_RING_NEED_POKE;
	if (name == RING_TX && !(s->under_way = calloc(size, sizeof(*s->under_way))))
		return NT_INSUFFICIENT_RESOURCES;
	return NT_OK;
}

static int32_t set_checksum(struct sim_xsk *s, uint32_t on)
{
	if (s->state != STATE_BOUND || s->checksum || !(s->directions & XSK_BIND_TX) ||
	    s->rings[RING_TX].memory || s->rings[RING_COMPLETION].memory)
		return NT_INVALID_DEVICE_STATE;
	if (!sim_config.offload)
		return NT_NOT_SUPPORTED;
	s->checksum = on != 0;
	return NT_OK;
}

static int32_t set_option(struct sim_xsk *s, const struct xsk_set_sockopt *in)
{
	struct xsk_umem_reg reg;
	uint32_t number = 0;

	if (in->option == XSK_UMEM_REG) {
		if (in->len_bytes < sizeof(reg))
			return NT_INVALID_PARAMETER;
		memcpy(&reg, in->value, sizeof(reg));
		return set_umem(s, &reg);
	}
	if (in->len_bytes < sizeof(number))
		return NT_INVALID_PARAMETER;
	memcpy(&number, in->value, sizeof(number));
	switch (in->option) {
	case XSK_RX_RING_SIZE:
		return set_ring_size(s, RING_RX, number);
	case XSK_RX_FILL_RING_SIZE:
		return set_ring_size(s, RING_FILL, number);
	case XSK_TX_RING_SIZE:
		return set_ring_size(s, RING_TX, number);
	case XSK_TX_COMPLETION_RING_SIZE:
		return set_ring_size(s, RING_COMPLETION, number);
	case XSK_TX_OFFLOAD_CHECKSUM:
		return set_checksum(s, number);
	default:
		return NT_NOT_SUPPORTED;
	}
}

static void lie_about(struct xsk_ring_info *i)
{
	switch (sim_config.lie) {
	case SIM_NO_RING:
		i->ring = NULL;
		break;
	case SIM_SHORT_STRIDE:
		i->stride_bytes = 4;
		break;
	case SIM_ODD_STRIDE:
		i->stride_bytes++;
		break;
	case SIM_HUGE_STRIDE:
		i->stride_bytes = 0x80000000;
		break;
	case SIM_OTHER_SIZE:
		i->size *= 2;
		break;
	case SIM_SIZE_ZERO:
		i->size = 0;
		break;
	case SIM_ODD_ELEMENTS:
		i->elements_off += 4;
		break;
	case SIM_ODD_PRODUCER:
		i->producer_off += 2;
		break;
	case SIM_ODD_CONSUMER:
		i->consumer_off += 1;
		break;
	case SIM_ODD_FLAGS:
		i->flags_off += 3;
		break;
	case SIM_SAME_INDICES:
		i->consumer_off = i->producer_off;
		break;
	case SIM_FLAGS_ARE_INDEX:
		i->flags_off = i->producer_off;
		break;
	default:
		break;
	}
}

static void fill_info(struct sim_xsk *s, struct xsk_ring_info infos[RING_NAME_CNT])
{
	for (uint32_t i = 0; i < RING_NAME_CNT; i++) {
		const struct sim_ring *ring = &s->rings[i];

		infos[i] = (struct xsk_ring_info){0};
		if (!ring->memory)
			continue;
		infos[i] = (struct xsk_ring_info){
			.ring = ring->memory,
			.elements_off = RING_ELEMENTS_OFF,
			.producer_off = RING_PRODUCER_OFF,
			.consumer_off = RING_CONSUMER_OFF,
			.flags_off = RING_FLAGS_OFF,
			.size = ring->r.size,
			.stride_bytes = ring->r.stride_bytes,
		};
		if (i == sim_config.lie_ring)
			lie_about(&infos[i]);
	}
}

static int32_t get_offload(struct sim_xsk *s, void *out, uint32_t out_bytes,
			   uintptr_t *written)
{
	struct xdp_checksum_configuration c = {
		.revision = XDP_CHECKSUM_CONFIGURATION_REVISION_1,
		.size_bytes = XDP_CHECKSUM_CONFIGURATION_1_BYTES,
		.enabled = sim_offload_on[s->end]};

	if (!(s->directions & XSK_BIND_TX))
		return NT_INVALID_DEVICE_STATE;
	if (!sim_config.offload)
		return NT_NOT_SUPPORTED;
	if (out_bytes < XDP_CHECKSUM_CONFIGURATION_1_BYTES)
		return NT_BUFFER_TOO_SMALL;
	if (s->rings[RING_TX].memory)
		atomic_fetch_and(s->rings[RING_TX].r.flags,
				 ~(uint32_t)XSK_RING_OFFLOAD_CHANGED);
	memcpy(out, &c, XDP_CHECKSUM_CONFIGURATION_1_BYTES);
	*written = XDP_CHECKSUM_CONFIGURATION_1_BYTES;
	return NT_OK;
}

static int32_t get_extension(struct sim_xsk *s, uint32_t option, void *out,
			     uintptr_t *written)
{
	uint16_t off =
		option == XSK_TX_FRAME_LAYOUT_EXTENSION ? s->layout_off : s->checksum_off;

	if (!s->checksum || !s->rings[RING_TX].memory)
		return NT_NOT_FOUND;
	if (option == XSK_TX_FRAME_LAYOUT_EXTENSION && sim_config.lie == SIM_LAYOUT_OUTSIDE)
		off = (uint16_t)(s->rings[RING_TX].r.stride_bytes - 4);
	if (option == XSK_TX_FRAME_CHECKSUM_EXTENSION &&
	    sim_config.lie == SIM_CHECKSUM_OUTSIDE)
		off = 65535;
	if (option == XSK_TX_FRAME_CHECKSUM_EXTENSION &&
	    sim_config.lie == SIM_EXTENSIONS_OVERLAP)
		off = (uint16_t)(s->layout_off + 2);
	memcpy(out, &off, sizeof(off));
	*written = sizeof(off);
	return NT_OK;
}

static int32_t get_option(struct sim_xsk *s, uint32_t option, void *out, uint32_t out_bytes,
			  uintptr_t *written)
{
	static const enum sim_ring_name of_error[] = {RING_RX, RING_FILL, RING_TX,
						      RING_COMPLETION};
	struct xsk_ring_info infos[RING_NAME_CNT];

	switch (option) {
	case XSK_RING_INFO:
		if (out_bytes < sizeof(infos))
			return NT_INVALID_PARAMETER;
		fill_info(s, infos);
		memcpy(out, infos, sizeof(infos));
		*written = sim_config.lie == SIM_SHORT_ANSWER ? 8 : sizeof(infos);
		return NT_OK;
	case XSK_STATISTICS:
		if (out_bytes < sizeof(s->statistics))
			return NT_INVALID_PARAMETER;
		memcpy(out, &s->statistics, sizeof(s->statistics));
		*written = sizeof(s->statistics);
		return NT_OK;
	case XSK_RX_ERROR:
	case XSK_RX_FILL_ERROR:
	case XSK_TX_ERROR:
	case XSK_TX_COMPLETION_ERROR:
		if (out_bytes < sizeof(uint32_t))
			return NT_INVALID_PARAMETER;
		memcpy(out, &s->rings[of_error[option - XSK_RX_ERROR]].error, 4);
		*written = 4;
		return NT_OK;
	case XSK_TX_OFFLOAD_CURRENT_CHECKSUM:
		return get_offload(s, out, out_bytes, written);
	case XSK_TX_FRAME_LAYOUT_EXTENSION:
	case XSK_TX_FRAME_CHECKSUM_EXTENSION:
		return out_bytes < 2 ? NT_INVALID_PARAMETER
				     : get_extension(s, option, out, written);
	default:
		return NT_NOT_SUPPORTED;
	}
}

/* ---- States ---- */

static int32_t bind_socket(struct sim_xsk *s, const struct xsk_bind *in)
{
	const uint32_t directions = XSK_BIND_RX | XSK_BIND_TX;
	const uint32_t modes = XSK_BIND_GENERIC | XSK_BIND_NATIVE;

	if (in->flags & ~(directions | modes) || (in->flags & modes) == modes ||
	    !(in->flags & directions))
		return NT_INVALID_PARAMETER;
	if (s->state != STATE_UNBOUND)
		return NT_INVALID_DEVICE_STATE;
	if (sim_end_of(in->ifindex) < 0 ||
	    (in->flags & XSK_BIND_NATIVE && sim_config.no_native))
		return NT_NOT_FOUND;
	if (in->queue >= sim_config.queue_cnt)
		return NT_INVALID_PARAMETER;
	s->state = STATE_BOUND;
	s->end = (uint32_t)sim_end_of(in->ifindex);
	s->queue = in->queue;
	s->directions = in->flags & directions;
	return NT_OK;
}

static int32_t activate(struct sim_xsk *s, const struct xsk_activate *in)
{
	if (in->flags)
		return NT_INVALID_PARAMETER;
	if (s->umem.len_bytes == 0 || s->state != STATE_BOUND ||
	    (s->directions & XSK_BIND_RX &&
	     (!s->rings[RING_RX].memory || !s->rings[RING_FILL].memory)) ||
	    (s->directions & XSK_BIND_TX &&
	     (!s->rings[RING_TX].memory || !s->rings[RING_COMPLETION].memory)))
		return NT_INVALID_DEVICE_STATE;
	s->state = STATE_ACTIVE;
	return NT_OK;
}

void sim_xsk_set_error(struct sim_xsk *s, enum sim_ring_name ring, uint32_t error)
{
	struct sim_ring *r = &s->rings[ring];

	if (r->error == XSK_NO_ERROR)
		r->error = error;
	if (r->memory)
		atomic_fetch_or(r->r.flags, XSK_RING_ERROR);
}

int32_t sim_xsk_control(struct sim_xsk *s, void *event, struct nt_io_status *io_status,
			uint32_t code, const void *in, uint32_t in_bytes, void *out,
			uint32_t out_bytes)
{
	union {
		struct xsk_bind bind;
		struct xsk_activate activate;
		struct xsk_set_sockopt set;
		struct xsk_notify notify;
		uint32_t option;
	} copy;
	uint32_t need_bytes = code == XSK_IOCTL_BIND          ? sizeof(copy.bind)
			      : code == XSK_IOCTL_ACTIVATE    ? sizeof(copy.activate)
			      : code == XSK_IOCTL_SET_SOCKOPT ? sizeof(copy.set)
			      : code == XSK_IOCTL_GET_SOCKOPT ? sizeof(copy.option)
							      : sizeof(copy.notify);

	if (in_bytes < need_bytes)
		return NT_INVALID_PARAMETER;
	memcpy(&copy, in, need_bytes);
	io_status->information = 0;
	switch (code) {
	case XSK_IOCTL_BIND:
		return bind_socket(s, &copy.bind);
	case XSK_IOCTL_ACTIVATE:
		return activate(s, &copy.activate);
	case XSK_IOCTL_SET_SOCKOPT:
		return set_option(s, &copy.set);
	case XSK_IOCTL_GET_SOCKOPT:
		return get_option(s, copy.option, out, out_bytes, &io_status->information);
	case XSK_IOCTL_NOTIFY:
	case XSK_IOCTL_NOTIFY_ASYNC:
		return notify(s, &copy.notify, event, io_status,
			      code == XSK_IOCTL_NOTIFY_ASYNC);
	default:
		return NT_NOT_SUPPORTED;
	}
}
