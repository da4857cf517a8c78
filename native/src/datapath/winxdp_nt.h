/* winxdp_nt.h: the way to the driver: four calls of ntdll, in a table, so that a simulator can
 * stand in the driver's place and see every byte that would cross.
 *
 * Creating, speaking to and closing objects; cancelling is for the one wait that may be
 * under way.  The parameters are ntdll's, in the types of winxdp_abi.h. */
#ifndef QX_WINXDP_NT_H
#define QX_WINXDP_NT_H

#include <stdint.h>

#include "winxdp_abi.h"

struct winxdp_nt {
	/* NtCreateFile */
	int32_t (*create_file)(void **handle, uint32_t access,
			       struct nt_object_attributes *attributes,
			       struct nt_io_status *io_status, int64_t *allocation_bytes,
			       uint32_t file_attributes, uint32_t share, uint32_t disposition,
			       uint32_t options, void *ea, uint32_t ea_bytes);
	/* NtDeviceIoControlFile: clears the event, then runs; sets it when it has ended. */
	int32_t (*device_io_control)(void *handle, void *event, void *apc, void *apc_context,
				     struct nt_io_status *io_status, uint32_t code, void *in,
				     uint32_t in_bytes, void *out, uint32_t out_bytes);
	/* NtCancelIoFileEx */
	int32_t (*cancel_io)(void *handle, struct nt_io_status *which,
			     struct nt_io_status *io_status);
	/* NtClose */
	int32_t (*close)(void *handle);
};

/* winxdp_ntdll is the real one (winxdp_nt_win.c). */
extern const struct winxdp_nt winxdp_ntdll;

#endif
