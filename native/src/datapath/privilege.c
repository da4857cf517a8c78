/* privilege.c: see privilege.h. */
#include "privilege.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "why.h"

bool privilege_has(uint32_t capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	return data[CAP_TO_INDEX(capability)].effective & CAP_TO_MASK(capability);
}

void privilege_why(char *why, const char *interface, const char *doing)
{
	bool admin = privilege_has(CAP_SYS_ADMIN); /* includes the other two for bpf(2) */
	bool raw = privilege_has(CAP_NET_RAW);
	bool net = admin || privilege_has(CAP_NET_ADMIN);
	bool bpf = admin || privilege_has(CAP_BPF);

	if (raw && net && bpf) {
		why_set(why,
			"%s: %s was refused although the capabilities are there: a user "
			"namespace, a container's seccomp profile or kernel lockdown forbids it; "
			"run outside of it, or without an interface",
			interface, doing);
		return;
	}
	why_set(why,
		"%s: %s needs%s%s%s. Run: setpriv --inh-caps=+net_raw,+net_admin,+bpf "
		"--ambient-caps=+net_raw,+net_admin,+bpf COMMAND, or in its systemd unit: "
		"AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN CAP_BPF",
		interface, doing, raw ? "" : " CAP_NET_RAW", net ? "" : " CAP_NET_ADMIN",
		bpf ? "" : " CAP_BPF");
}

uint64_t privilege_memlock_bytes(void)
{
	struct rlimit limit;

	if (privilege_has(CAP_IPC_LOCK) || getrlimit(RLIMIT_MEMLOCK, &limit) < 0 ||
	    limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur;
}
