/* xdp_prog.c: see xdp_prog.h. */
#include "xdp_prog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "privilege.h"
#include "why.h"
#include "xdp_filter_insns.h"

enum {
	INSN_CNT = sizeof(xdp_filter_insns) / sizeof(xdp_filter_insns[0]),
	RELOC_CNT = sizeof(xdp_filter_relocs) / sizeof(xdp_filter_relocs[0]),
	LOAD_ATTEMPTS = 5,
	LOG_BYTES = 4096
};

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "xdp_filter_insns.h was compiled for little-endian hosts"
#endif

static int bpf_call(enum bpf_cmd cmd, union bpf_attr *attr)
{
	long rc = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return rc < 0 ? -errno : (int)rc;
}

/* Attributes are cleared by memset: the kernel wants every byte that a command does not
 * know to be zero, and an initialiser sets only the named member of a union. */
static void bpf_clear(union bpf_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
}

static int map_create(uint32_t type, const char *name, uint32_t key_bytes,
		      uint32_t value_bytes, uint32_t entry_cnt)
{
	union bpf_attr attr;

	bpf_clear(&attr);
	attr.map_type = type;
	attr.key_size = key_bytes;
	attr.value_size = value_bytes;
	attr.max_entries = entry_cnt;
	strncpy(attr.map_name, name, sizeof(attr.map_name) - 1);
	return bpf_call(BPF_MAP_CREATE, &attr);
}

static int map_update(int fd, const void *key, const void *value, uint64_t flags)
{
	union bpf_attr attr;

	bpf_clear(&attr);
	attr.map_fd = (uint32_t)fd;
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)value;
	attr.flags = flags;
	return bpf_call(BPF_MAP_UPDATE_ELEM, &attr);
}

/* prog_load loads the filter with its maps filled in.  log may be NULL. */
static int prog_load(const int map_fds[XDP_FILTER_MAP_CNT], char *log)
{
	struct bpf_insn insns[INSN_CNT];
	union bpf_attr attr;
	int rc = -EAGAIN;

	memcpy(insns, xdp_filter_insns, sizeof(insns));
	for (uint32_t i = 0; i < RELOC_CNT; i++) {
		struct bpf_insn *insn = &insns[xdp_filter_relocs[i].insn];

		insn->src_reg = BPF_PSEUDO_MAP_FD;
		insn->imm = map_fds[xdp_filter_relocs[i].map];
	}
	bpf_clear(&attr);
	attr.prog_type = BPF_PROG_TYPE_XDP;
	attr.expected_attach_type = BPF_XDP;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = INSN_CNT;
	attr.license = (uintptr_t)"Dual BSD/GPL";
	strncpy(attr.prog_name, "quicxdp", sizeof(attr.prog_name) - 1);
	if (log) {
		attr.log_level = 1;
		attr.log_buf = (uintptr_t)log;
		attr.log_size = LOG_BYTES;
	}
	/* The verifier gives up with EAGAIN when a signal is pending. */
	for (int i = 0; i < LOAD_ATTEMPTS && rc == -EAGAIN; i++)
		rc = bpf_call(BPF_PROG_LOAD, &attr);
	return rc;
}

/* last_line finds the verifier's verdict: the last line before its statistics. */
static const char *last_line(char *log)
{
	char *stats, *line;

	log[LOG_BYTES - 1] = '\0';
	stats = strstr(log, "processed ");
	if (stats)
		*stats = '\0';
	for (size_t n = strlen(log); n && log[n - 1] == '\n'; n--)
		log[n - 1] = '\0';
	line = strrchr(log, '\n');
	return line ? line + 1 : log;
}

static void why_not_loaded(char *why, const char *name, const struct xdp_prog *p, int err)
{
	char log[LOG_BYTES] = "";
	int fd;

	if (err == -EPERM) {
		privilege_why(why, name, "loading the XDP filter");
		return;
	}
	fd = prog_load(p->map_fds, log);
	if (fd >= 0)
		close(fd);
	why_set(why,
		"%s: the kernel refused the XDP filter (%s: %.100s); it needs Linux 5.18 or "
		"newer",
		name, strerror(-err), last_line(log));
}

static int make_maps(struct xdp_prog *p, uint32_t queue_cnt)
{
	int fd;

	fd = map_create(BPF_MAP_TYPE_ARRAY, "quicxdp_config", sizeof(uint32_t),
			sizeof(struct xdp_filter_config), 1);
	if (fd < 0)
		return fd;
	p->map_fds[XDP_FILTER_CONFIG] = fd;
	fd = map_create(BPF_MAP_TYPE_HASH, "quicxdp_ports", sizeof(struct xdp_filter_port),
			sizeof(uint8_t), XDP_PROG_PORT_MAX);
	if (fd < 0)
		return fd;
	p->map_fds[XDP_FILTER_PORTS] = fd;
	fd = map_create(BPF_MAP_TYPE_XSKMAP, "quicxdp_xsks", sizeof(uint32_t),
			sizeof(uint32_t), queue_cnt);
	if (fd < 0)
		return fd;
	p->map_fds[XDP_FILTER_XSKS] = fd;
	return 0;
}

int xdp_prog_open(struct xdp_prog *p, const char *name, const uint8_t mac[6],
		  uint32_t frame_max_bytes, uint32_t queue_cnt, char *why)
{
	struct xdp_filter_config config = {.frame_max_bytes = frame_max_bytes};
	uint32_t zero = 0;
	int err;

	*p = (struct xdp_prog){.map_fds = {-1, -1, -1}, .prog_fd = -1, .link_fd = -1};
	memcpy(&config.mac_first4, mac, 4);
	memcpy(&config.mac_last2, mac + 4, 2);
	err = make_maps(p, queue_cnt);
	if (!err)
		err = map_update(p->map_fds[XDP_FILTER_CONFIG], &zero, &config, BPF_ANY);
	if (err) {
		if (err == -EPERM)
			privilege_why(why, name, "making the XDP maps");
		else
			why_set(why, "%s: making the XDP maps failed: %s", name,
				strerror(-err));
		goto close;
	}
	err = prog_load(p->map_fds, NULL);
	if (err < 0) {
		why_not_loaded(why, name, p, err);
		goto close;
	}
	p->prog_fd = err;
	return 0;

close:
	xdp_prog_close(p);
	return err;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void xdp_prog_close(struct xdp_prog *p)
{
	close_fd(&p->link_fd);
	close_fd(&p->prog_fd);
	for (int i = 0; i < XDP_FILTER_MAP_CNT; i++)
		close_fd(&p->map_fds[i]);
}

static int port_key(struct xdp_filter_port *key, const struct qx_addr *local)
{
	if ((local->family != QX_IPV4 && local->family != QX_IPV6) || !local->port)
		return -EINVAL;
	memset(key, 0, sizeof(*key));
	memcpy(key->ip_be, local->ip, local->family == QX_IPV4 ? 4 : 16);
	key->port_be = htons(local->port);
	key->family = local->family;
	return 0;
}

int xdp_prog_admit(struct xdp_prog *p, const struct qx_addr *local)
{
	struct xdp_filter_port key;
	uint8_t unused = 0;
	int err = port_key(&key, local);

	if (err)
		return err;
	err = map_update(p->map_fds[XDP_FILTER_PORTS], &key, &unused, BPF_NOEXIST);
	return err == -E2BIG ? -ENOSPC : err;
}

void xdp_prog_dismiss(struct xdp_prog *p, const struct qx_addr *local)
{
	struct xdp_filter_port key;
	union bpf_attr attr;

	if (port_key(&key, local))
		return;
	bpf_clear(&attr);
	attr.map_fd = (uint32_t)p->map_fds[XDP_FILTER_PORTS];
	attr.key = (uintptr_t)&key;
	bpf_call(BPF_MAP_DELETE_ELEM, &attr);
}

int xdp_prog_set_queue(struct xdp_prog *p, uint32_t queue, int xsk_fd)
{
	return map_update(p->map_fds[XDP_FILTER_XSKS], &queue, &xsk_fd, BPF_ANY);
}

void xdp_prog_why_busy(char *why, const char *name, uint32_t ifindex)
{
	static const char *const modes[] = {
		[XDP_ATTACHED_DRV] = "native",
		[XDP_ATTACHED_SKB] = "generic",
		[XDP_ATTACHED_HW] = "offloaded",
		[XDP_ATTACHED_MULTI] = "several modes",
	};
	struct ifinfo_xdp xdp;
	char which[48] = "";

	if (ifinfo_get_xdp(&xdp, ifindex) == 0 && xdp.mode &&
	    xdp.mode < sizeof(modes) / sizeof(modes[0]))
		snprintf(which, sizeof(which), " (id %u, %s)", xdp.id, modes[xdp.mode]);
	why_set(why,
		"%s: another XDP program%s is attached, and it stays. Stop its owner, or look at "
		"it with: ip link show dev %s; or run without an interface",
		name, which, name);
}

static void why_not_attached(char *why, const char *name, const struct ifinfo *info, int err)
{
	const char *driver = info->driver[0] ? info->driver : "unknown";

	switch (err) {
	case -EBUSY:
		xdp_prog_why_busy(why, name, info->ifindex);
		break;
	case -EPERM:
		privilege_why(why, name, "attaching the XDP filter");
		break;
	case -EOPNOTSUPP:
		why_set(why,
			"%s: its driver (%s) has no native XDP as it is set up now; name another "
			"interface, run without one, or try the generic mode",
			name, driver);
		break;
	case -ENODEV:
		why_set(why, "%s: the interface is gone", name);
		break;
	default:
		/* What the driver minds goes to its log, not to bpf(2): name the usual. */
		why_set(why,
			"%s: its driver (%s) refused native XDP: %s. Usual causes: an MTU over "
			"3500 (now %u), LRO, more queues on a veth's peer than here; dmesg may "
			"tell",
			name, driver, strerror(-err), info->mtu_bytes);
	}
}

int xdp_prog_attach(struct xdp_prog *p, const char *name, const struct ifinfo *info,
		    bool generic, char *why)
{
	union bpf_attr attr;
	int fd;

	bpf_clear(&attr);
	attr.link_create.prog_fd = (uint32_t)p->prog_fd;
	attr.link_create.target_ifindex = info->ifindex;
	attr.link_create.attach_type = BPF_XDP;
	attr.link_create.flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	fd = bpf_call(BPF_LINK_CREATE, &attr);
	/* EEXIST: a program in one mode excludes the other (net/core/dev.c). */
	if (fd == -EEXIST)
		fd = -EBUSY;
	if (fd < 0) {
		why_not_attached(why, name, info, fd);
		return fd;
	}
	p->link_fd = fd;
	return 0;
}

void xdp_prog_detach(struct xdp_prog *p)
{
	union bpf_attr attr;

	if (p->link_fd < 0)
		return;
	bpf_clear(&attr);
	attr.link_detach.link_fd = (uint32_t)p->link_fd;
	bpf_call(BPF_LINK_DETACH, &attr);
	close_fd(&p->link_fd);
}
