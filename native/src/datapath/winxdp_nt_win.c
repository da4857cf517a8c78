/* winxdp_nt_win.c: the way to the real driver: ntdll's calls, in our types.
 *
 * The types must be Windows' own, which is what is asserted here; of the driver's own
 * structures no header comes with the compiler (winxdp_abi.h). */
#define WIN32_NO_STATUS
#include <windows.h>
#undef WIN32_NO_STATUS
#include <ntstatus.h>
#include <winioctl.h>
#include <winternl.h>

#include "winxdp_nt.h"

/* Documented with CancelIoEx, which is it; no header of mingw's names it. */
NTSTATUS NTAPI NtCancelIoFileEx(HANDLE handle, PIO_STATUS_BLOCK which,
				PIO_STATUS_BLOCK io_status);

#define SAME_SIZE(ours, theirs)                                                              \
	_Static_assert(sizeof(struct ours) == sizeof(theirs), #ours " is not " #theirs)
#define SAME_OFF(ours, member, theirs, their_member)                                         \
	_Static_assert(offsetof(struct ours, member) == offsetof(theirs, their_member),      \
		       #ours "." #member)
#define SAME(ours, theirs) _Static_assert((uint32_t)(ours) == (uint32_t)(theirs), #ours)

SAME_SIZE(nt_unicode_string, UNICODE_STRING);
SAME_OFF(nt_unicode_string, len_bytes, UNICODE_STRING, Length);
SAME_OFF(nt_unicode_string, cap_bytes, UNICODE_STRING, MaximumLength);
SAME_OFF(nt_unicode_string, text, UNICODE_STRING, Buffer);
SAME_SIZE(nt_object_attributes, OBJECT_ATTRIBUTES);
SAME_OFF(nt_object_attributes, len_bytes, OBJECT_ATTRIBUTES, Length);
SAME_OFF(nt_object_attributes, root, OBJECT_ATTRIBUTES, RootDirectory);
SAME_OFF(nt_object_attributes, name, OBJECT_ATTRIBUTES, ObjectName);
SAME_OFF(nt_object_attributes, attributes, OBJECT_ATTRIBUTES, Attributes);
SAME_SIZE(nt_io_status, IO_STATUS_BLOCK);
SAME_OFF(nt_io_status, status, IO_STATUS_BLOCK, Status);
SAME_OFF(nt_io_status, information, IO_STATUS_BLOCK, Information);

SAME(NT_OK, STATUS_SUCCESS);
SAME(NT_PENDING, STATUS_PENDING);
SAME(NT_INVALID_HANDLE, STATUS_INVALID_HANDLE);
SAME(NT_INVALID_PARAMETER, STATUS_INVALID_PARAMETER);
SAME(NT_NO_MEMORY, STATUS_NO_MEMORY);
SAME(NT_ACCESS_DENIED, STATUS_ACCESS_DENIED);
SAME(NT_BUFFER_TOO_SMALL, STATUS_BUFFER_TOO_SMALL);
SAME(NT_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_NAME_NOT_FOUND);
SAME(NT_OBJECT_PATH_NOT_FOUND, STATUS_OBJECT_PATH_NOT_FOUND);
SAME(NT_DELETE_PENDING, STATUS_DELETE_PENDING);
SAME(NT_INSUFFICIENT_RESOURCES, STATUS_INSUFFICIENT_RESOURCES);
SAME(NT_DEVICE_NOT_READY, STATUS_DEVICE_NOT_READY);
SAME(NT_NOT_SUPPORTED, STATUS_NOT_SUPPORTED);
SAME(NT_CANCELLED, STATUS_CANCELLED);
SAME(NT_INVALID_DEVICE_STATE, STATUS_INVALID_DEVICE_STATE);
SAME(NT_NOT_FOUND, STATUS_NOT_FOUND);
SAME(NT_DEVICE_REMOVED, STATUS_DEVICE_REMOVED);
SAME(NT_GENERIC_READ_WRITE_SYNCHRONIZE, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE);
SAME(NT_SHARE_READ_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE);
SAME(NT_FILE_CREATE, FILE_CREATE);
SAME(NT_OBJ_CASE_INSENSITIVE, OBJ_CASE_INSENSITIVE);

#define XSK_CODE(n, method) CTL_CODE(FILE_DEVICE_NETWORK, n, method, FILE_WRITE_ACCESS)
SAME(XSK_IOCTL_BIND, XSK_CODE(0, METHOD_BUFFERED));
SAME(XSK_IOCTL_ACTIVATE, XSK_CODE(1, METHOD_BUFFERED));
SAME(XSK_IOCTL_GET_SOCKOPT, XSK_CODE(2, METHOD_BUFFERED));
SAME(XSK_IOCTL_SET_SOCKOPT, XSK_CODE(3, METHOD_BUFFERED));
SAME(XSK_IOCTL_NOTIFY, XSK_CODE(4, METHOD_NEITHER));
SAME(XSK_IOCTL_NOTIFY_ASYNC, XSK_CODE(5, METHOD_NEITHER));

static int32_t create_file(void **handle, uint32_t access,
			   struct nt_object_attributes *attributes,
			   struct nt_io_status *io_status, int64_t *allocation_bytes,
			   uint32_t file_attributes, uint32_t share, uint32_t disposition,
			   uint32_t options, void *ea, uint32_t ea_bytes)
{
	return NtCreateFile(handle, access, (POBJECT_ATTRIBUTES)(void *)attributes,
			    (PIO_STATUS_BLOCK)(void *)io_status,
			    (PLARGE_INTEGER)(void *)allocation_bytes, file_attributes, share,
			    disposition, options, ea, ea_bytes);
}

static int32_t device_io_control(void *handle, void *event, void *apc, void *apc_context,
				 struct nt_io_status *io_status, uint32_t code, void *in,
				 uint32_t in_bytes, void *out, uint32_t out_bytes)
{
	return NtDeviceIoControlFile(handle, event, (PIO_APC_ROUTINE)apc, apc_context,
				     (PIO_STATUS_BLOCK)(void *)io_status, code, in, in_bytes,
				     out, out_bytes);
}

static int32_t cancel_io(void *handle, struct nt_io_status *which,
			 struct nt_io_status *io_status)
{
	return NtCancelIoFileEx(handle, (PIO_STATUS_BLOCK)(void *)which,
				(PIO_STATUS_BLOCK)(void *)io_status);
}

static int32_t close_handle(void *handle)
{
	return NtClose(handle);
}

const struct winxdp_nt winxdp_ntdll = {
	.create_file = create_file,
	.device_io_control = device_io_control,
	.cancel_io = cancel_io,
	.close = close_handle,
};
