/* sim_nt.c: handles, and the four calls of ntdll. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "sim_internal.h"

struct sim_config sim_config;
struct sim_counts sim_counts;
struct sim_object *sim_objects[HANDLE_CNT];
bool sim_removed[SIM_ADAPTER_CNT];
bool sim_offload_on[SIM_ADAPTER_CNT];

void sim_reset(void)
{
	memset(&sim_counts, 0, sizeof(sim_counts));
	memset(sim_removed, 0, sizeof(sim_removed));
	sim_offload_on[0] = sim_offload_on[1] = true;
	sim_config = (struct sim_config){.per_type = true,
					 .common = true,
					 .queue_cnt = SIM_QUEUE_CNT,
					 .extra_stride_bytes = 24,
					 .tx_budget = 64,
					 .spurious_every = 7,
					 .fail_program_queue = -1};
	sim_tap = NULL;
}

void sim_violation(const char *what)
{
	sim_counts.violations++;
	printf("  simulator: %s\n", what);
}

int sim_end_of(uint32_t ifindex)
{
	uint32_t end = ifindex - SIM_IFINDEX;

	return end < SIM_ADAPTER_CNT && !sim_removed[end] && !sim_config.unbound ? (int)end
										 : -1;
}

/* ---- Handles: multiples of four, as Windows' ---- */

static void *handle_at(uint32_t i)
{
	return (void *)(uintptr_t)(0x1000 + i * 4);
}

static struct sim_object **slot_of(void *handle)
{
	uintptr_t i = ((uintptr_t)handle - 0x1000) / 4;

	if ((uintptr_t)handle < 0x1000 || i >= HANDLE_CNT || ((uintptr_t)handle & 3))
		return NULL;
	return sim_objects[i] ? &sim_objects[i] : NULL;
}

struct sim_object *sim_object_of(void *handle)
{
	struct sim_object **slot = slot_of(handle);

	return slot ? *slot : NULL;
}

struct sim_held sim_held(void)
{
	struct sim_held held = {0};

	for (uint32_t i = 0; i < HANDLE_CNT; i++) {
		const struct sim_object *o = sim_objects[i];

		if (!o)
			continue;
		held.handles++;
		if (o->type == XDP_PROGRAM) {
			held.programs++;
			held.locked_bytes +=
				(uint64_t)o->program->rule_cnt * XDP_PORT_SET_BYTES;
			continue;
		}
		held.waits += o->xsk->wait.pending;
		held.locked_bytes += o->xsk->umem.len_bytes;
		for (uint32_t r = 0; r < RING_NAME_CNT; r++)
			held.ring_bytes += o->xsk->rings[r].memory_bytes;
	}
	return held;
}

/* ---- Faults ---- */

static bool fails(int32_t *status)
{
	sim_counts.calls++;
	if (sim_config.fail_at == 0 || --sim_config.fail_at != 0)
		return false;
	*status = sim_config.fail_status;
	return true;
}

/* ---- NtCreateFile ---- */

static bool name_is(const struct nt_unicode_string *name, const char *text)
{
	size_t cnt = strlen(text);

	if (name->len_bytes != cnt * 2 || name->cap_bytes < name->len_bytes)
		return false;
	for (size_t i = 0; i < cnt; i++)
		if (name->text[i] != (uint8_t)text[i])
			return false;
	return true;
}

/* find_device: which types a device makes, as a mask; 0 if there is no such device. */
static uint32_t find_device(const struct nt_unicode_string *name, int32_t *missing)
{
	*missing = NT_OBJECT_NAME_NOT_FOUND;
	if (sim_config.absent)
		return 0;
	if (sim_config.common && name_is(name, "\\Device\\xdp"))
		return 1 << XDP_PROGRAM | 1 << XDP_XSK;
	if (sim_config.per_type && name_is(name, "\\Device\\xdpapi\\program"))
		return 1 << XDP_PROGRAM;
	if (sim_config.per_type && name_is(name, "\\Device\\xdpapi\\xsk"))
		return 1 << XDP_XSK;
	/* Without \Device\xdpapi it is the path that is missing. */
	if (!name_is(name, "\\Device\\xdp") && !sim_config.per_type)
		*missing = NT_OBJECT_PATH_NOT_FOUND;
	return 0;
}

/* read_ea finds the open packet and what follows it. */
static bool read_ea(const uint8_t *ea, uint32_t ea_bytes, struct xdp_open_packet *packet,
		    const uint8_t **params, uint32_t *params_bytes)
{
	struct xdp_ea head;

	if (!ea || ea_bytes < XDP_EA_BYTES)
		return false;
	if ((uintptr_t)ea & 3)
		sim_violation("an extended attribute that is not aligned");
	memcpy(&head, ea, sizeof(head));
	if (head.next_entry_offset != 0 || head.flags != 0 ||
	    head.name_len_bytes != strlen(XDP_OPEN_PACKET_NAME) ||
	    memcmp(ea + XDP_EA_NAME_OFF, XDP_OPEN_PACKET_NAME,
		   sizeof(XDP_OPEN_PACKET_NAME)) != 0 ||
	    head.value_len_bytes < sizeof(*packet) ||
	    XDP_EA_VALUE_OFF + (uint32_t)head.value_len_bytes > ea_bytes)
		return false;
	memcpy(packet, ea + XDP_EA_VALUE_OFF, sizeof(*packet));
	*params = ea + XDP_EA_VALUE_OFF + sizeof(*packet);
	*params_bytes = head.value_len_bytes - (uint32_t)sizeof(*packet);
	return true;
}

static int32_t create_object(struct sim_object *o, const struct xdp_open_packet *packet,
			     const uint8_t *params, uint32_t params_bytes)
{
	struct xdp_program_open program;

	if (packet->major != XDP_OPEN_MAJOR || packet->minor != XDP_OPEN_MINOR)
		return NT_NOT_SUPPORTED;
	if (packet->api_version != XDP_API_VERSION_3 || sim_config.old)
		return NT_NOT_SUPPORTED;
	o->type = (enum xdp_object_type)packet->object_type;
	if (o->type == XDP_XSK)
		return sim_xsk_create(o);
	if (params_bytes < sizeof(program))
		return NT_INVALID_PARAMETER;
	memcpy(&program, params, sizeof(program));
	return sim_program_create(o, &program);
}

static int32_t create_file(void **handle, uint32_t access,
			   struct nt_object_attributes *attributes,
			   struct nt_io_status *io_status, int64_t *allocation_bytes,
			   uint32_t file_attributes, uint32_t share, uint32_t disposition,
			   uint32_t options, void *ea, uint32_t ea_bytes)
{
	struct xdp_open_packet packet;
	const uint8_t *params;
	uint32_t params_bytes, types, i = 0;
	struct sim_object *o;
	int32_t status;

	sim_counts.creates++;
	if (fails(&status))
		return status;
	if (access != (uint32_t)NT_GENERIC_READ_WRITE_SYNCHRONIZE || allocation_bytes ||
	    file_attributes || share != NT_SHARE_READ_WRITE || options ||
	    attributes->len_bytes != sizeof(*attributes) || attributes->root ||
	    attributes->attributes != NT_OBJ_CASE_INSENSITIVE || !io_status)
		sim_violation("NtCreateFile with unexpected parameters");
	types = find_device(attributes->name, &status);
	if (types == 0)
		return status;
	if (disposition != NT_FILE_CREATE ||
	    !read_ea(ea, ea_bytes, &packet, &params, &params_bytes))
		return NT_INVALID_PARAMETER;
	if (packet.object_type > XDP_XSK || !(types & 1u << packet.object_type))
		return NT_INVALID_PARAMETER;
	if (sim_config.deny & 1u << packet.object_type)
		return NT_ACCESS_DENIED;
	while (i < HANDLE_CNT && sim_objects[i])
		i++;
	o = i < HANDLE_CNT ? calloc(1, sizeof(*o)) : NULL;
	if (!o)
		return NT_INSUFFICIENT_RESOURCES;
	status = create_object(o, &packet, params, params_bytes);
	if (status != NT_OK) {
		free(o);
		return status;
	}
	sim_objects[i] = o;
	*handle = handle_at(i);
	io_status->status = NT_OK;
	return NT_OK;
}

/* ---- The others ---- */

static int32_t device_io_control(void *handle, void *event, void *apc, void *apc_context,
				 struct nt_io_status *io_status, uint32_t code, void *in,
				 uint32_t in_bytes, void *out, uint32_t out_bytes)
{
	struct sim_object *o = sim_object_of(handle);
	int32_t status;

	sim_counts.controls++;
	/* The I/O manager does so before it asks the driver. */
	if (event)
		os_event_clear((int)(intptr_t)event);
	if (fails(&status))
		return status;
	if (apc || apc_context || !io_status)
		sim_violation("NtDeviceIoControlFile with unexpected parameters");
	if (!o || o->type != XDP_XSK) {
		sim_violation("a request to what is no socket");
		return NT_INVALID_HANDLE;
	}
	status =
		sim_xsk_control(o->xsk, event, io_status, code, in, in_bytes, out, out_bytes);
	if (status == NT_PENDING)
		return status;
	io_status->status = status;
	if (sim_config.pends && (code == XSK_IOCTL_BIND || code == XSK_IOCTL_ACTIVATE)) {
		os_event_set((int)(intptr_t)event);
		return NT_PENDING;
	}
	if (event)
		os_event_set((int)(intptr_t)event);
	return status;
}

static int32_t cancel_io(void *handle, struct nt_io_status *which,
			 struct nt_io_status *io_status)
{
	struct sim_object *o = sim_object_of(handle);
	int32_t status = NT_OK;

	sim_counts.calls++;
	if (!o || o->type != XDP_XSK)
		status = NT_INVALID_HANDLE;
	else if (!sim_xsk_cancel(o->xsk, which))
		status = NT_NOT_FOUND;
	io_status->status = status;
	return status;
}

static int32_t close_handle(void *handle)
{
	struct sim_object **slot = slot_of(handle);
	struct sim_object *o;

	sim_counts.calls++;
	if (!slot) {
		sim_violation("NtClose of what is no handle");
		return NT_INVALID_HANDLE;
	}
	o = *slot;
	if (o->type == XDP_XSK)
		sim_xsk_close(o->xsk);
	else
		sim_program_close(o->program);
	*slot = NULL;
	free(o);
	return NT_OK;
}

const struct winxdp_nt sim_nt = {
	.create_file = create_file,
	.device_io_control = device_io_control,
	.cancel_io = cancel_io,
	.close = close_handle,
};
