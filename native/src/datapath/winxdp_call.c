/* winxdp_call.c: one object of XDP for Windows opened, one request made. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "os.h"
#include "winxdp.h"

enum {
	PARAMS_MAX_BYTES = sizeof(struct xdp_program_open),
	/* Binding and activating wait for the adapter's own work queue. */
	CALL_MAX_MS = 10000,
	CANCEL_MAX_MS = 1000
};

/* The wide strings of the interface, without wchar_t, which differs between systems. */
static const char common_device[] = "\\Device\\xdp";
static const char *const type_device[] = {
	[XDP_PROGRAM] = "\\Device\\xdpapi\\program",
	[XDP_XSK] = "\\Device\\xdpapi\\xsk",
};

int winxdp_errno(int32_t status)
{
	static const struct {
		int32_t status;
		int code;
	} known[] = {
		{NT_INVALID_HANDLE, EBADF},
		{NT_INVALID_PARAMETER, EINVAL},
		{NT_NO_MEMORY, ENOMEM},
		{NT_INSUFFICIENT_RESOURCES, ENOMEM},
		{NT_ACCESS_DENIED, EPERM},
		{NT_OBJECT_NAME_NOT_FOUND, EOPNOTSUPP},
		{NT_OBJECT_PATH_NOT_FOUND, EOPNOTSUPP},
		{NT_NOT_SUPPORTED, EOPNOTSUPP},
		{NT_NOT_FOUND, ENODEV},
		{NT_DELETE_PENDING, ENXIO},
		{NT_DEVICE_NOT_READY, EAGAIN},
		{NT_DEVICE_REMOVED, ENXIO},
		{NT_INVALID_DEVICE_STATE, EBUSY},
		{NT_PENDING, ETIMEDOUT},
	};

	if (status == NT_OK)
		return 0;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].status == status)
			return -known[i].code;
	return -EIO;
}

/* ---- Opening ---- */

static uint32_t fill_ea(uint8_t *ea, enum xdp_object_type type, const void *params,
			uint32_t params_bytes)
{
	const struct xdp_open_packet packet = {.major = XDP_OPEN_MAJOR,
					       .minor = XDP_OPEN_MINOR,
					       .api_version = XDP_API_VERSION_3,
					       .object_type = type};
	const struct xdp_ea head = {
		.name_len_bytes = sizeof(XDP_OPEN_PACKET_NAME) - 1,
		.value_len_bytes = (uint16_t)(sizeof(packet) + params_bytes),
	};

	memset(ea, 0, XDP_EA_BYTES + params_bytes);
	memcpy(ea, &head, sizeof(head));
	memcpy(ea + XDP_EA_NAME_OFF, XDP_OPEN_PACKET_NAME, sizeof(XDP_OPEN_PACKET_NAME));
	memcpy(ea + XDP_EA_VALUE_OFF, &packet, sizeof(packet));
	if (params_bytes)
		memcpy(ea + XDP_EA_VALUE_OFF + sizeof(packet), params, params_bytes);
	return XDP_EA_BYTES + params_bytes;
}

static int32_t open_device(struct winxdp *x, const char *device, uint8_t *ea,
			   uint32_t ea_bytes, void **handle)
{
	uint16_t text[32];
	struct nt_unicode_string name = {.text = text};
	struct nt_object_attributes attributes = {.len_bytes = sizeof(attributes),
						  .name = &name,
						  .attributes = NT_OBJ_CASE_INSENSITIVE};
	uint16_t cnt = 0;

	for (; device[cnt]; cnt++)
		text[cnt] = (uint8_t)device[cnt];
	name.len_bytes = name.cap_bytes = (uint16_t)(cnt * sizeof(text[0]));
	*handle = NULL;
	return x->nt->create_file(handle, (uint32_t)NT_GENERIC_READ_WRITE_SYNCHRONIZE,
				  &attributes, &x->call_status, NULL, 0, NT_SHARE_READ_WRITE,
				  NT_FILE_CREATE, 0, ea, ea_bytes);
}

int32_t winxdp_create(struct winxdp *x, enum xdp_object_type type, const void *params,
		      uint32_t params_bytes, void **handle)
{
	/* The I/O manager wants it aligned, and says nothing of why otherwise. */
	_Alignas(8) uint8_t ea[XDP_EA_BYTES + PARAMS_MAX_BYTES];
	uint32_t ea_bytes = fill_ea(ea, type, params, params_bytes);
	int32_t status = open_device(x, type_device[type], ea, ea_bytes, handle);

	/* Before 1.4 there was one device for all types.  Not tried for other reasons: where
	 * the type's own device is closed to us, so should the common one be. */
	if (status == NT_OBJECT_NAME_NOT_FOUND || status == NT_OBJECT_PATH_NOT_FOUND)
		status = open_device(x, common_device, ea, ea_bytes, handle);
	return status;
}

/* ---- Requests ---- */

static void *event_handle(int event)
{
	return (void *)(intptr_t)event;
}

/* wait_for_answer: NT_PENDING if there was none; the driver may then still write it. */
static int32_t wait_for_answer(struct winxdp *x, void *handle)
{
	struct nt_io_status ignored;

	if (!os_event_wait(x->call_event, CALL_MAX_MS)) {
		x->nt->cancel_io(handle, &x->call_status, &ignored);
		x->stuck = !os_event_wait(x->call_event, CANCEL_MAX_MS);
	}
	return x->stuck ? (int32_t)NT_PENDING : x->call_status.status;
}

int32_t winxdp_control(struct winxdp *x, void *handle, enum xsk_ioctl code, void *in,
		       uint32_t in_bytes, void *out, uint32_t *out_bytes)
{
	int32_t status;

	x->call_status = (struct nt_io_status){.status = NT_PENDING};
	status = x->nt->device_io_control(handle, event_handle(x->call_event), NULL, NULL,
					  &x->call_status, code, in, in_bytes, out,
					  out_bytes ? *out_bytes : 0);
	if (status == NT_PENDING)
		status = wait_for_answer(x, handle);
	if (out_bytes)
		*out_bytes = (uint32_t)x->call_status.information;
	return status;
}

int32_t winxdp_set(struct winxdp *x, void *handle, enum xsk_sockopt option, const void *value,
		   uint32_t len_bytes)
{
	struct xsk_set_sockopt in = {
		.option = option, .len_bytes = len_bytes, .value = value};

	return winxdp_control(x, handle, XSK_IOCTL_SET_SOCKOPT, &in, sizeof(in), NULL, NULL);
}

int32_t winxdp_get(struct winxdp *x, void *handle, enum xsk_sockopt option, void *value,
		   uint32_t len_bytes)
{
	uint32_t in = option, got_bytes = len_bytes;
	int32_t status = winxdp_control(x, handle, XSK_IOCTL_GET_SOCKOPT, &in, sizeof(in),
					value, &got_bytes);

	if (status == NT_OK && got_bytes != len_bytes)
		return NT_NOT_SUPPORTED;
	return status;
}

/* ---- The packet path ---- */

int32_t winxdp_poke(struct winxdp *x, struct winxdp_xsk *s, enum xsk_notify_flags what)
{
	struct xsk_notify in = {.flags = what};

	/* Without an event: the driver answers a request that waits for nothing at once. */
	return x->nt->device_io_control(s->handle, NULL, NULL, NULL, &x->call_status,
					XSK_IOCTL_NOTIFY, &in, sizeof(in), NULL, 0);
}

int32_t winxdp_wait(struct winxdp *x, struct winxdp_xsk *s, enum xsk_notify_flags what,
		    int event)
{
	struct xsk_notify in = {.flags = what, .timeout_ms = UINT32_MAX};
	int32_t status;

	s->wait = (struct nt_io_status){.status = NT_PENDING};
	status =
		x->nt->device_io_control(s->handle, event_handle(event), NULL, NULL, &s->wait,
					 XSK_IOCTL_NOTIFY_ASYNC, &in, sizeof(in), NULL, 0);
	s->waiting = status == NT_PENDING;
	return status;
}

bool winxdp_wait_ended(struct winxdp_xsk *s)
{
	/* Acquire: the driver filled the rings before it ended the wait. */
	if (s->waiting &&
	    __atomic_load_n(&s->wait.status, __ATOMIC_ACQUIRE) != (int32_t)NT_PENDING)
		s->waiting = false;
	return !s->waiting;
}
