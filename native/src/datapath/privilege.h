/* privilege.h: which capabilities AF_XDP needs, whether we have them, and the sentence that
 * tells a person how to get them.
 *
 * An AF_XDP socket needs CAP_NET_RAW, maps and program CAP_BPF, XSKMAP and attaching
 * CAP_NET_ADMIN as well; the filter keeps to what the verifier takes without CAP_PERFMON.
 * CAP_IPC_LOCK only lifts the limit on locked memory. */
#ifndef QX_PRIVILEGE_H
#define QX_PRIVILEGE_H

#include <stdbool.h>
#include <stdint.h>

/* privilege_has: is this capability (CAP_* of linux/capability.h) in the effective set? */
bool privilege_has(uint32_t capability);

/* privilege_why fills why after the kernel answered EPERM to what doing names. */
void privilege_why(char *why, const char *interface, const char *doing);

/* privilege_memlock_bytes is how much memory this process may lock: UINT64_MAX with
 * CAP_IPC_LOCK, else RLIMIT_MEMLOCK (which all processes of the user share). */
uint64_t privilege_memlock_bytes(void);

#endif
