/* test_filter.c: the XDP filter in the kernel, packet by packet (BPF_PROG_TEST_RUN).
 *
 * Needs CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW, but no interface: nothing is attached.
 *
 * Over 500 lines: one program, loaded once, and all packets for it. */
#define _GNU_SOURCE /* setresuid */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child.h"
#include "frames.h"
#include "t.h"
#include "wire.h"
#include "xdp_prog.h"

enum {
	FRAME_MAX_BYTES = 1514,
	MUTATION_CNT = 200000
};

static const uint8_t our_mac[6] = {0x02, 0, 0, 0, 0, 0x01};
static const struct qx_addr peer4 = {.ip = {192, 0, 2, 9}, .port = 40000, .family = QX_IPV4};
static const struct qx_addr ours4 = {.ip = {192, 0, 2, 1}, .port = 4433, .family = QX_IPV4};
static const struct qx_addr peer6 = {
	.ip = {0x20, 1, 0xd, 0xb8, [15] = 9}, .port = 40000, .family = QX_IPV6};
static const struct qx_addr ours6 = {
	.ip = {0x20, 1, 0xd, 0xb8, [15] = 1}, .port = 4433, .family = QX_IPV6};

/* The filter under test, with our two addresses admitted and a socket for queue 0. */
static struct xdp_prog prog;
static int xsk_fd = -1;

static int run(const struct frame *f)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (uint32_t)prog.prog_fd;
	attr.test.data_in = (uintptr_t)f->bytes;
	attr.test.data_size_in = f->len_bytes;
	attr.test.repeat = 1;
	if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)) < 0)
		T_FAIL("BPF_PROG_TEST_RUN of %u bytes: %s", f->len_bytes, strerror(errno));
	return (int)attr.test.retval;
}

/* A correct frame of either family; odd-packet tests start from it. */
static void good(struct frame *f, uint8_t family)
{
	if (family == QX_IPV4)
		frame_udp(f, our_mac, &peer4, &ours4, 100);
	else
		frame_udp(f, our_mac, &peer6, &ours6, 100);
}

static void expect_pass(const struct frame *f, const char *what)
{
	if (run(f) != XDP_PASS)
		T_FAIL("%s: %d instead of XDP_PASS", what, run(f));
}

/* ---- What is redirected ---- */

static void redirects_registered_datagrams(void)
{
	struct frame f;

	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		good(&f, family);
		T_EQ(run(&f), XDP_REDIRECT);
	}
	frame_udp(&f, our_mac, &peer4, &ours4, 0);
	T_EQ(run(&f), XDP_REDIRECT);
	frame_udp(&f, our_mac, &peer4, &ours4, FRAME_MAX_BYTES - 42);
	T_EQ(run(&f), XDP_REDIRECT);
	frame_udp(&f, our_mac, &peer6, &ours6, FRAME_MAX_BYTES - 62);
	T_EQ(run(&f), XDP_REDIRECT);
}

static void redirects_frames_padded_by_ethernet(void)
{
	struct frame f;

	frame_udp(&f, our_mac, &peer4, &ours4, 1);
	f.len_bytes = 60;
	T_EQ(run(&f), XDP_REDIRECT);
}

static void redirects_any_ecn_dscp_ttl_and_flow_label(void)
{
	struct frame f;

	good(&f, QX_IPV4);
	f.bytes[15] = 0xff;
	f.bytes[22] = 1;
	f.bytes[20] = 0; /* DF clear */
	T_EQ(run(&f), XDP_REDIRECT);
	good(&f, QX_IPV6);
	memcpy(f.bytes + 14, "\x6f\xff\xff\xff", 4);
	T_EQ(run(&f), XDP_REDIRECT);
}

/* Every port of the 65,536, both families: exactly the registered one is ours. */
static void takes_exactly_one_port_of_65536(void)
{
	struct frame f;

	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		uint32_t off = family == QX_IPV4 ? 36 : 56;

		good(&f, family);
		for (uint32_t port = 0; port < 65536; port++) {
			put16(f.bytes + off, port);
			T_EQ(run(&f), port == 4433 ? XDP_REDIRECT : XDP_PASS);
		}
	}
}

static void dismissed_ports_and_other_addresses_pass(void)
{
	struct qx_addr second = ours4;
	struct frame f;

	second.ip[3] = 2;
	frame_udp(&f, our_mac, &peer4, &second, 10);
	expect_pass(&f, "an address that is not registered");
	T_EQ(xdp_prog_admit(&prog, &second), 0);
	T_EQ(xdp_prog_admit(&prog, &second), -EEXIST);
	T_EQ(run(&f), XDP_REDIRECT);
	xdp_prog_dismiss(&prog, &second);
	expect_pass(&f, "a dismissed address");
}

/* An IPv4 address is not the IPv6 address that begins with the same bytes. */
static void families_do_not_mix(void)
{
	struct qx_addr alias = {.ip = {192, 0, 2, 1}, .port = 4433, .family = QX_IPV6};
	struct frame f;

	frame_udp(&f, our_mac, &peer6, &alias, 10);
	expect_pass(&f, "an IPv6 address that looks like ours");
}

static void admits_as_many_ports_as_promised_and_says_when_full(void)
{
	struct qx_addr a = {.ip = {10, 9, 8, 7}, .family = QX_IPV4};
	uint32_t n = 0;
	int err = 0;

	for (a.port = 1; a.port < 2 * XDP_PROG_PORT_MAX; a.port++, n++) {
		err = xdp_prog_admit(&prog, &a);
		if (err)
			break;
	}
	for (a.port = 1; a.port <= n; a.port++)
		xdp_prog_dismiss(&prog, &a);
	T_EQ(err, -ENOSPC);
	T_EQ(n, XDP_PROG_PORT_MAX - 2); /* two are admitted by main */
	a.port = 0;
	T_EQ(xdp_prog_admit(&prog, &a), -EINVAL);
	a = (struct qx_addr){.port = 1};
	T_EQ(xdp_prog_admit(&prog, &a), -EINVAL);
}

/* ---- What passes ---- */

static void truncated_frames_pass_at_every_length(void)
{
	struct frame f;

	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		good(&f, family);
		/* The kernel takes no test frame below an Ethernet header. */
		for (f.len_bytes--; f.len_bytes >= 14; f.len_bytes--)
			expect_pass(&f, "a truncated frame");
	}
}

static void vlan_tags_pass(void)
{
	struct frame f;

	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		good(&f, family);
		frame_insert(&f, 12, "\x81\x00\x00\x05", 4);
		expect_pass(&f, "802.1Q");
		frame_insert(&f, 12, "\x88\xa8\x00\x06", 4);
		expect_pass(&f, "QinQ");
	}
}

static void other_ethertypes_pass(void)
{
	struct frame f;

	for (uint32_t type = 0; type < 65536; type++) {
		if (type == 0x0800)
			continue;
		good(&f, QX_IPV4);
		put16(f.bytes + 12, type);
		expect_pass(&f, "an IPv4 packet under another ethertype");
	}
}

static void every_fragment_passes(void)
{
	struct frame f;

	good(&f, QX_IPV4);
	for (uint32_t word = 0; word < 65536; word++) {
		put16(f.bytes + 20, word);
		T_EQ(run(&f), (word & 0xbfff) ? XDP_PASS : XDP_REDIRECT);
	}
	/* An atomic IPv6 fragment: header 44, then UDP. */
	good(&f, QX_IPV6);
	frame_insert(&f, 54, "\x11\0\0\0\0\0\0\1", 8);
	f.bytes[20] = 44;
	put16(f.bytes + 18, get16(f.bytes + 18) + 8);
	expect_pass(&f, "an IPv6 fragment");
}

static void ip_options_and_extension_headers_pass(void)
{
	struct frame f;

	for (uint32_t first = 0; first < 256; first++) {
		good(&f, QX_IPV4);
		f.bytes[14] = (uint8_t)first;
		T_EQ(run(&f), first == 0x45 ? XDP_REDIRECT : XDP_PASS);
	}
	good(&f, QX_IPV4);
	frame_insert(&f, 34, "\x94\x04\0\0", 4); /* router alert */
	f.bytes[14] = 0x46;
	put16(f.bytes + 16, get16(f.bytes + 16) + 4);
	expect_pass(&f, "IPv4 options");
	good(&f, QX_IPV6);
	frame_insert(&f, 54, "\x11\0\1\4\0\0\0\0", 8); /* hop-by-hop: padding */
	f.bytes[20] = 0;
	put16(f.bytes + 18, get16(f.bytes + 18) + 8);
	expect_pass(&f, "a hop-by-hop header");
}

static void other_protocols_pass(void)
{
	struct frame f;

	for (uint32_t protocol = 0; protocol < 256; protocol++) {
		good(&f, QX_IPV4);
		f.bytes[23] = (uint8_t)protocol;
		T_EQ(run(&f), protocol == 17 ? XDP_REDIRECT : XDP_PASS);
		good(&f, QX_IPV6);
		f.bytes[20] = (uint8_t)protocol;
		T_EQ(run(&f), protocol == 17 ? XDP_REDIRECT : XDP_PASS);
	}
}

static void wrong_ip_versions_pass(void)
{
	struct frame f;

	for (uint32_t version = 0; version < 16; version++) {
		good(&f, QX_IPV6);
		f.bytes[14] = (uint8_t)(version << 4);
		T_EQ(run(&f), version == 6 ? XDP_REDIRECT : XDP_PASS);
	}
	good(&f, QX_IPV4);
	put16(f.bytes + 12, 0x86dd);
	expect_pass(&f, "IPv4 that calls itself IPv6");
	good(&f, QX_IPV6);
	put16(f.bytes + 12, 0x0800);
	expect_pass(&f, "IPv6 that calls itself IPv4");
}

static void frames_to_other_macs_pass(void)
{
	static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255};
	static const uint8_t multicast4[6] = {0x01, 0, 0x5e, 0, 0, 1};
	static const uint8_t multicast6[6] = {0x33, 0x33, 0, 0, 0, 1};
	struct frame f;

	for (uint32_t bit = 0; bit < 48; bit++) {
		good(&f, QX_IPV4);
		f.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		expect_pass(&f, "a MAC address that differs in one bit");
	}
	frame_udp(&f, broadcast, &peer4, &ours4, 10);
	expect_pass(&f, "broadcast");
	frame_udp(&f, multicast4, &peer4, &ours4, 10);
	expect_pass(&f, "IPv4 multicast");
	frame_udp(&f, multicast6, &peer6, &ours6, 10);
	expect_pass(&f, "IPv6 multicast");
}

static void superframes_and_overlong_frames_pass(void)
{
	struct frame f;

	frame_udp(&f, our_mac, &peer4, &ours4, FRAME_MAX_BYTES - 42 + 1);
	expect_pass(&f, "one byte too long");
	frame_udp(&f, our_mac, &peer6, &ours6, FRAME_MAX_BYTES - 62 + 1);
	expect_pass(&f, "one byte too long");
	frame_udp(&f, our_mac, &peer4, &ours4, 2 * 1200);
	expect_pass(&f, "a superframe of two datagrams");
	/* A short packet in an over-long frame: trailing bytes beyond any padding. */
	good(&f, QX_IPV4);
	f.len_bytes = FRAME_MAX_BYTES + 1;
	expect_pass(&f, "an over-long frame");
}

/* All that a sender can claim about lengths; only the truth is redirected. */
static void lying_lengths_pass(void)
{
	struct frame f;
	uint32_t udp_bytes = 8 + 100;

	for (uint32_t claim = 0; claim < 65536; claim++) {
		good(&f, QX_IPV4);
		put16(f.bytes + 38, claim);
		T_EQ(run(&f), claim == udp_bytes ? XDP_REDIRECT : XDP_PASS);
		good(&f, QX_IPV4);
		put16(f.bytes + 16, claim);
		T_EQ(run(&f), claim == udp_bytes + 20 ? XDP_REDIRECT : XDP_PASS);
	}
	for (uint32_t claim = 0; claim < 65536; claim++) {
		good(&f, QX_IPV6);
		put16(f.bytes + 58, claim);
		T_EQ(run(&f), claim == udp_bytes ? XDP_REDIRECT : XDP_PASS);
		good(&f, QX_IPV6);
		put16(f.bytes + 18, claim);
		T_EQ(run(&f), claim == udp_bytes ? XDP_REDIRECT : XDP_PASS);
		/* Both agree, but not with the frame; or on less than a UDP header. */
		good(&f, QX_IPV6);
		put16(f.bytes + 18, claim);
		put16(f.bytes + 58, claim);
		T_EQ(run(&f), claim >= 8 && claim <= udp_bytes ? XDP_REDIRECT : XDP_PASS);
	}
}

static void queues_without_a_socket_pass(void)
{
	struct frame f;
	union bpf_attr attr;
	uint32_t queue = 0;
	int verdict;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)prog.map_fds[XDP_FILTER_XSKS];
	attr.key = (uintptr_t)&queue;
	T_EQ(syscall(SYS_bpf, BPF_MAP_DELETE_ELEM, &attr, sizeof(attr)), 0);
	good(&f, QX_IPV4);
	verdict = run(&f);
	T_EQ(xdp_prog_set_queue(&prog, 0, xsk_fd), 0);
	T_EQ(verdict, XDP_PASS);
	T_EQ(run(&f), XDP_REDIRECT);
}

/* ---- The filter and the parser agree ---- */

static void mutate(struct frame *f, uint64_t *seed)
{
	uint32_t headers = 14 + 40 + 8;
	uint64_t n = 1 + t_random(seed) % 3;

	for (uint64_t i = 0; i < n; i++) {
		uint32_t at = (uint32_t)(t_random(seed) % headers);

		switch (t_random(seed) % 4) {
		case 0:
			f->bytes[at] ^= (uint8_t)(1u << t_random(seed) % 8);
			break;
		case 1:
			f->bytes[at] = (uint8_t)t_random(seed);
			break;
		case 2:
			f->bytes[at] = (uint8_t)(f->bytes[at] + 1);
			break;
		default:
			f->len_bytes = 14 + (uint32_t)(t_random(seed) % 1600);
		}
	}
	/* Otherwise a wrong header sum would hide what else is wrong. */
	if (t_random(seed) % 2)
		frame_fix_ip_sum(f);
}

/* What the filter takes out of the kernel's hands nobody else will deliver: the parser may
 * refuse it only for what the kernel refuses too. */
static void whatever_the_filter_accepts_the_parser_accepts(void)
{
	uint64_t seed = 0x51c0de, accepted = 0;
	struct wire_datagram d;
	struct frame f;

	for (uint32_t i = 0; i < MUTATION_CNT; i++) {
		uint64_t before = seed;
		enum qx_drop verdict;

		good(&f, i % 2 ? QX_IPV4 : QX_IPV6);
		mutate(&f, &seed);
		if (run(&f) != XDP_REDIRECT)
			continue;
		accepted++;
		verdict = wire_parse(f.bytes, f.len_bytes, our_mac, &d);
		if (verdict != QX_DROP_NONE && verdict != QX_DROP_IP_CHECKSUM &&
		    verdict != QX_DROP_UDP_CHECKSUM && verdict != QX_DROP_SOURCE_ADDRESS &&
		    verdict != QX_DROP_SOURCE_PORT)
			T_FAIL("seed %llu: verdict %d", (unsigned long long)before, verdict);
	}
	printf("  %llu of %d mutations accepted\n", (unsigned long long)accepted,
	       MUTATION_CNT);
	T_CHECK(accepted > MUTATION_CNT / 20);
}

/* ---- Privileges ---- */

static void open_with(struct child_answer *answer, void *caps)
{
	struct xdp_prog p;

	answer->rc = child_restrict(*(uint64_t *)caps);
	if (!answer->rc)
		answer->rc =
			xdp_prog_open(&p, "qxtest", our_mac, FRAME_MAX_BYTES, 1, answer->why);
}

static void loads_with_three_capabilities_and_no_more(void)
{
	uint64_t caps = CAPS_XDP;
	struct child_answer answer = child_run(open_with, &caps);

	if (answer.rc)
		T_FAIL("%d: %s", answer.rc, answer.why);
}

static void refused_with(uint64_t caps, const char *sentence)
{
	struct child_answer answer = child_run(open_with, &caps);

	T_EQ(answer.rc, -EPERM);
	if (!strstr(answer.why, sentence) || strncmp(answer.why, "qxtest: ", 8))
		T_FAIL("%s", answer.why);
	T_CHECK(strstr(answer.why, "AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN CAP_BPF"));
	T_CHECK(strstr(answer.why, "--ambient-caps=+net_raw,+net_admin,+bpf"));
}

static void names_the_capability_that_is_missing_and_the_remedy(void)
{
	refused_with(CAPS_XDP & ~CAP_BIT(CAP_BPF), "needs CAP_BPF.");
	refused_with(CAPS_XDP & ~CAP_BIT(CAP_NET_ADMIN), "needs CAP_NET_ADMIN.");
	refused_with(0, "needs CAP_NET_RAW CAP_NET_ADMIN CAP_BPF.");
}

static const struct t_case cases[] = {
	{"redirects registered datagrams", redirects_registered_datagrams},
	{"redirects frames padded by Ethernet", redirects_frames_padded_by_ethernet},
	{"redirects any ECN, DSCP, TTL and flow label",
	 redirects_any_ecn_dscp_ttl_and_flow_label},
	{"takes exactly one port of 65536", takes_exactly_one_port_of_65536},
	{"dismissed ports and other addresses pass",
	 dismissed_ports_and_other_addresses_pass},
	{"families do not mix", families_do_not_mix},
	{"admits as many ports as promised and says when full",
	 admits_as_many_ports_as_promised_and_says_when_full},
	{"truncated frames pass at every length", truncated_frames_pass_at_every_length},
	{"VLAN tags pass", vlan_tags_pass},
	{"other ethertypes pass", other_ethertypes_pass},
	{"every fragment passes", every_fragment_passes},
	{"IP options and extension headers pass", ip_options_and_extension_headers_pass},
	{"other protocols pass", other_protocols_pass},
	{"wrong IP versions pass", wrong_ip_versions_pass},
	{"frames to other MAC addresses pass", frames_to_other_macs_pass},
	{"superframes and over-long frames pass", superframes_and_overlong_frames_pass},
	{"lying lengths pass", lying_lengths_pass},
	{"queues without a socket pass", queues_without_a_socket_pass},
	{"whatever the filter accepts the parser accepts",
	 whatever_the_filter_accepts_the_parser_accepts},
	{"loads with three capabilities and no more",
	 loads_with_three_capabilities_and_no_more},
	{"names the capability that is missing and the remedy",
	 names_the_capability_that_is_missing_and_the_remedy},
};

int main(int argc, char **argv)
{
	char why[QX_WHY_BYTES];
	int ring_entries = 16, err, failed;

	err = xdp_prog_open(&prog, "qxtest", our_mac, FRAME_MAX_BYTES, 2, why);
	if (err == -EPERM)
		T_SKIP_PROGRAM("%s", why);
	/* A map takes any AF_XDP socket with an RX ring, bound or not. */
	xsk_fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (err || xsk_fd < 0 ||
	    setsockopt(xsk_fd, SOL_XDP, XDP_RX_RING, &ring_entries, sizeof(ring_entries)) <
		    0 ||
	    xdp_prog_set_queue(&prog, 0, xsk_fd) || xdp_prog_admit(&prog, &ours4) ||
	    xdp_prog_admit(&prog, &ours6)) {
		printf("cannot load the filter: %s (errno %d)\n", err ? why : "", errno);
		return 1;
	}
	failed = t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
	xdp_prog_close(&prog);
	close(xsk_fd);
	return failed;
}
