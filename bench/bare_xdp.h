/* bare_xdp.h: an AF_XDP socket on queue 0 and a program that feeds it, by raw system calls;
 * the set-up half of bare_ring.c, apart so that each file stays one idea. */
#ifndef BENCH_BARE_XDP_H
#define BENCH_BARE_XDP_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "load.h"

enum {
	FRAME_BYTES = 2048,
	RING = 4096, /* all four, and frames each way; quicxdp receives into as many */
	BATCH = 64,
	HEADERS = 42,
	PACKET = HEADERS + PAYLOAD_BYTES
};

struct ring {
	uint32_t *producer, *consumer, *flags;
	void *elements;
	uint32_t mine, theirs; /* our index, and the last seen of the far side's */
};

static struct ring fill, rx, tx, completion;
static uint8_t *umem;
static uint64_t free_tx[RING];
static uint32_t free_tx_cnt;
static int xsk;

/* ---- rings ---- */

static uint32_t ring_ready(struct ring *r, uint32_t *far)
{
	/* Acquire: pairs with the kernel's release of its index (net/xdp/xsk_queue.h). */
	r->theirs = __atomic_load_n(far, __ATOMIC_ACQUIRE);
	return r->theirs - r->mine;
}

static void ring_publish(struct ring *r, uint32_t *near)
{
	__atomic_store_n(near, r->mine, __ATOMIC_RELEASE);
}

static void map_ring(struct ring *r, int option, uint64_t page,
		     const struct xdp_ring_offset *off, size_t element_bytes)
{
	uint32_t size = RING;
	uint8_t *at;

	must(setsockopt(xsk, SOL_XDP, option, &size, sizeof size), "ring size");
	at = mmap(NULL, off->desc + RING * element_bytes, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, xsk, (off_t)page);
	if (at == MAP_FAILED)
		die("mmap of a ring", errno);
	r->producer = (uint32_t *)(at + off->producer);
	r->consumer = (uint32_t *)(at + off->consumer);
	r->flags = (uint32_t *)(at + off->flags);
	r->elements = at + off->desc;
}

static void open_rings(const char *interface)
{
	struct xdp_umem_reg reg = {.len = 2 * RING * FRAME_BYTES, .chunk_size = FRAME_BYTES};
	struct sockaddr_xdp at = {.sxdp_family = AF_XDP,
				  .sxdp_flags = XDP_COPY | XDP_USE_NEED_WAKEUP};
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof off;

	umem = mmap(NULL, reg.len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (umem == MAP_FAILED)
		die("mmap of the frames", errno);
	reg.addr = (uintptr_t)umem;
	xsk = must(socket(AF_XDP, SOCK_RAW, 0), "socket(AF_XDP)");
	must(setsockopt(xsk, SOL_XDP, XDP_UMEM_REG, &reg, sizeof reg), "XDP_UMEM_REG");
	/* Sizes are set before offsets are asked for; the offsets do not depend on them. */
	must(getsockopt(xsk, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len), "XDP_MMAP_OFFSETS");
	map_ring(&fill, XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_FILL_RING, &off.fr, 8);
	map_ring(&completion, XDP_UMEM_COMPLETION_RING, XDP_UMEM_PGOFF_COMPLETION_RING,
		 &off.cr, 8);
	map_ring(&rx, XDP_RX_RING, XDP_PGOFF_RX_RING, &off.rx, sizeof(struct xdp_desc));
	map_ring(&tx, XDP_TX_RING, XDP_PGOFF_TX_RING, &off.tx, sizeof(struct xdp_desc));
	for (uint32_t i = 0; i < RING; i++) {
		((uint64_t *)fill.elements)[i] = (uint64_t)i * FRAME_BYTES;
		free_tx[free_tx_cnt++] = (uint64_t)(RING + i) * FRAME_BYTES;
	}
	fill.mine = RING;
	ring_publish(&fill, fill.producer);
	at.sxdp_ifindex = if_nametoindex(interface);
	/* The kernel lets go of a dead process's socket some milliseconds after its exit. */
	for (int tries = 0; bind(xsk, (struct sockaddr *)&at, sizeof at) < 0; tries++) {
		if (errno != EBUSY || tries == 200)
			die("bind of the AF_XDP socket", errno);
		usleep(5000);
	}
}

/* ---- the program: UDP over IPv4 to our port goes to the socket of its queue ---- */

static int sys_bpf(int command, union bpf_attr *attr, const char *what)
{
	return must((int)syscall(SYS_bpf, command, attr, sizeof *attr), what);
}

static void attach(const char *interface, uint16_t port_be)
{
	union bpf_attr map = {.map_type = BPF_MAP_TYPE_XSKMAP,
			      .key_size = 4,
			      .value_size = 4,
			      .max_entries = 1};
	int map_fd = sys_bpf(BPF_MAP_CREATE, &map, "BPF_MAP_CREATE"), queue = 0;
#define I(op, d, s, o, i)                                                                    \
	{                                                                                    \
		.code = (op), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)         \
	}
	struct bpf_insn program[] = {
		I(BPF_LDX | BPF_W | BPF_MEM, 2, 1, 0, 0), /* r2 = data */
		I(BPF_LDX | BPF_W | BPF_MEM, 3, 1, 4, 0), /* r3 = data_end */
		I(BPF_ALU64 | BPF_MOV | BPF_X, 4, 2, 0, 0),
		I(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, HEADERS),
		I(BPF_JMP | BPF_JGT | BPF_X, 4, 3, 12, 0), /* too short: pass */
		I(BPF_LDX | BPF_H | BPF_MEM, 5, 2, 12, 0),
		I(BPF_JMP | BPF_JNE | BPF_K, 5, 0, 10, htons(ETH_P_IP)),
		I(BPF_LDX | BPF_B | BPF_MEM, 5, 2, 23, 0),
		I(BPF_JMP | BPF_JNE | BPF_K, 5, 0, 8, IPPROTO_UDP),
		I(BPF_LDX | BPF_H | BPF_MEM, 5, 2, 36, 0),
		I(BPF_JMP | BPF_JNE | BPF_K, 5, 0, 6, port_be),
		I(BPF_LDX | BPF_W | BPF_MEM, 2, 1, 16, 0), /* rx_queue_index */
		I(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map_fd),
		I(0, 0, 0, 0, 0),
		I(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, XDP_PASS),
		I(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map),
		I(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
		I(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS),
		I(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
#undef I
	union bpf_attr load = {.prog_type = BPF_PROG_TYPE_XDP,
			       .insns = (uintptr_t)program,
			       .insn_cnt = sizeof program / sizeof *program,
			       .license = (uintptr_t)"BSD"};
	int program_fd = sys_bpf(BPF_PROG_LOAD, &load, "BPF_PROG_LOAD");
	union bpf_attr link = {.link_create = {.prog_fd = (uint32_t)program_fd,
					       .target_ifindex = if_nametoindex(interface),
					       .attach_type = BPF_XDP,
					       .flags = XDP_FLAGS_DRV_MODE}};
	union bpf_attr entry = {.map_fd = (uint32_t)map_fd,
				.key = (uintptr_t)&queue,
				.value = (uintptr_t)&xsk};

	if (port_be)
		sys_bpf(BPF_MAP_UPDATE_ELEM, &entry, "BPF_MAP_UPDATE_ELEM");
	sys_bpf(BPF_LINK_CREATE, &link, "BPF_LINK_CREATE"); /* lives as long as we do */
}

#endif
