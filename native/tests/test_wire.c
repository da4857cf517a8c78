/* test_wire.c: the parser takes what it should, names why it takes nothing else, and the
 * writer agrees with frames built from the RFCs' figures (frames.h). */
#include "wire.h"

#include "checksum.h"
#include "frames.h"
#include "t.h"

static const uint8_t our_mac[6] = {0x02, 1, 2, 3, 4, 5};
static const uint8_t peer_mac[6] = {0x02, 0, 0, 0, 0, 0xfe}; /* as frame_udp has it */

static struct qx_addr addr(uint8_t family, uint8_t host, uint16_t port)
{
	struct qx_addr a = {.family = family, .port = port};

	if (family == QX_IPV4)
		memcpy(a.ip, (uint8_t[]){198, 51, 100, host}, 4);
	else
		memcpy(a.ip, (uint8_t[]){0x20, 1, 0xd, 0xb8, [15] = host}, 16);
	return a;
}

static struct frame good(uint8_t family, uint32_t payload_bytes)
{
	struct qx_addr from = addr(family, 7, 50000), to = addr(family, 8, 4433);
	struct frame f;

	frame_udp(&f, our_mac, &from, &to, payload_bytes);
	return f;
}

/* Parses a copy of exactly the frame's length, so that the address sanitizer sees every
 * byte too many; and checks that *out is written only with a verdict of NONE. */
static enum qx_drop parse(const struct frame *f, struct wire_datagram *out)
{
	uint8_t *exact = malloc(f->len_bytes ? f->len_bytes : 1);
	struct wire_datagram untouched;
	enum qx_drop verdict;

	memcpy(exact, f->bytes, f->len_bytes);
	memset(&untouched, 0xa5, sizeof(untouched));
	*out = untouched;
	verdict = wire_parse(exact, f->len_bytes, our_mac, out);
	free(exact);
	if (verdict != QX_DROP_NONE && memcmp(out, &untouched, sizeof(untouched)) != 0)
		T_FAIL("verdict %d, but the result was written", verdict);
	return verdict;
}

static void expect(const struct frame *f, enum qx_drop verdict)
{
	struct wire_datagram w;

	T_EQ(parse(f, &w), verdict);
}

static const uint8_t families[] = {QX_IPV4, QX_IPV6};

/* Every field of a correct datagram comes out as it went in. */
static void a_correct_datagram_is_read(void)
{
	for (int i = 0; i < 2; i++) {
		struct qx_addr from = addr(families[i], 7, 50000);
		struct qx_addr to = addr(families[i], 8, 4433);

		for (uint32_t n = 0; n <= 1472; n = n < 40 ? n + 1 : n + 179) {
			struct frame f = good(families[i], n);
			struct wire_datagram w;

			T_EQ(parse(&f, &w), QX_DROP_NONE);
			T_EQ(memcmp(&w.path.peer, &from, sizeof(from)), 0);
			T_EQ(memcmp(&w.path.local, &to, sizeof(to)), 0);
			T_EQ(memcmp(w.peer_mac, peer_mac, 6), 0);
			T_EQ(w.payload_len_bytes, n);
			T_EQ(w.payload_off_bytes, f.len_bytes - n);
			T_EQ(w.ecn, 0);
		}
	}
}

/* Two implementations of the same figures must agree on every byte. */
static void the_writer_agrees_with_a_second_opinion(void)
{
	for (int i = 0; i < 2; i++)
		for (uint32_t n = 0; n <= 1472; n = n < 70 ? n + 1 : n + 131) {
			struct qx_path path = {.peer = addr(families[i], 8, 4433),
					       .local = addr(families[i], 7, 50000)};
			struct frame want = good(families[i], n);
			uint32_t headers = wire_header_bytes(families[i]);
			uint8_t built[FRAME_CAPACITY];

			memset(built, 0xee, sizeof(built));
			wire_build_headers(built, our_mac, peer_mac, &path);
			memcpy(built + headers, want.bytes + headers, n);
			T_EQ(wire_finish(built, families[i], n, 0), want.len_bytes);
			T_EQ(memcmp(built, want.bytes, want.len_bytes), 0);
			T_EQ(built[want.len_bytes], 0xee);
		}
}

/* Finishing again (a slot used twice, another ECN) must not build on old sums. */
static void finishing_is_repeatable_and_carries_ecn(void)
{
	for (int i = 0; i < 2; i++)
		for (uint8_t ecn = 0; ecn < 4; ecn++) {
			struct qx_path path = {.peer = addr(families[i], 8, 4433),
					       .local = addr(families[i], 7, 50000)};
			struct frame f = {0};
			struct wire_datagram w;

			wire_build_headers(f.bytes, our_mac, peer_mac, &path);
			wire_finish(f.bytes, families[i], 500, (uint8_t)(3 - ecn));
			f.len_bytes = wire_finish(f.bytes, families[i], 100, ecn);
			T_EQ(parse(&f, &w), QX_DROP_NONE);
			T_EQ(w.ecn, ecn);
			T_EQ(w.payload_len_bytes, 100);
		}
}

/* The vector loop against the textbook, at every length, alignment and with carries. */
static void checksums_equal_the_textbook(void)
{
	static uint8_t data[4096];
	uint64_t seed = 42;

	printf("  seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = round == 0 ? 0xff : (uint8_t)t_random(&seed);
		for (uint32_t len = 0; len < 200; len++)
			for (uint32_t at = 0; at < 9; at++) {
				uint16_t got = checksum_fold(checksum_add(data + at, len, 0));
				uint32_t want = sum16(data + at, len, 0);

				/* 0 and 0xffff are the same sum in ones' complement. */
				T_EQ(get16((uint8_t *)&got) % 0xffff, want % 0xffff);
			}
		for (uint32_t len = 1000; len < 1600; len++) {
			uint16_t got = checksum_fold(checksum_add(data + 42, len, 0));

			T_EQ(get16((uint8_t *)&got) % 0xffff,
			     sum16(data + 42, len, 0) % 0xffff);
		}
	}
}

/* RFC 768: a computed zero is sent as ones, zero would say "none". */
static void a_checksum_of_zero_is_sent_as_ones(void)
{
	for (int i = 0; i < 2; i++) {
		struct qx_path path = {.peer = addr(families[i], 8, 4433),
				       .local = addr(families[i], 7, 50000)};
		uint32_t headers = wire_header_bytes(families[i]);
		struct frame f = {0};
		uint8_t *field = f.bytes + headers - 2;

		wire_build_headers(f.bytes, our_mac, peer_mac, &path);
		wire_finish(f.bytes, families[i], 2, 0);
		/* The payload word that makes the sum all ones is the checksum itself. */
		memcpy(f.bytes + headers, field, 2);
		f.len_bytes = wire_finish(f.bytes, families[i], 2, 0);
		T_EQ(get16(field), 0xffff);
		expect(&f, QX_DROP_NONE);
	}
}

/* A peer on a virtual link sends only the pseudo-header sum; it must be heard. */
static void a_partial_checksum_is_accepted(void)
{
	for (int i = 0; i < 2; i++) {
		struct frame f = good(families[i], 333);
		uint32_t udp = f.len_bytes - 341,
			 addr_bytes = families[i] == QX_IPV4 ? 4 : 16;

		put16(f.bytes + udp + 6,
		      sum16(f.bytes + udp - 2 * addr_bytes, 2 * addr_bytes, 17 + 341));
		expect(&f, QX_DROP_NONE);
		/* Neighbouring values are neither partial nor valid. */
		put16(f.bytes + udp + 6, get16(f.bytes + udp + 6) + 1);
		expect(&f, QX_DROP_UDP_CHECKSUM);
	}
}

/* Absent over IPv4 is legal (RFC 768), over IPv6 it is not (RFC 8200 section 8.1). */
static void an_absent_checksum_is_accepted_over_ipv4_only(void)
{
	for (int i = 0; i < 2; i++) {
		struct frame f = good(families[i], 20);

		put16(f.bytes + f.len_bytes - 22, 0);
		expect(&f, families[i] == QX_IPV4 ? QX_DROP_NONE : QX_DROP_UDP_CHECKSUM);
	}
}

/* Any single bit that flips on the way, from the addresses on, is noticed. */
static void every_flipped_bit_is_noticed(void)
{
	for (int i = 0; i < 2; i++) {
		struct frame f = good(families[i], 61);
		struct wire_datagram w;

		/* Not the MAC of the sender, nor IPv6's traffic class, flow label and hop
		 * limit, nor the source MAC: no checksum covers them. */
		for (uint32_t bit = 14 * 8; bit < f.len_bytes * 8; bit++) {
			uint32_t byte = bit / 8;

			if (families[i] == QX_IPV6 &&
			    ((byte >= 14 && byte < 18) || byte == 21))
				continue;
			f.bytes[byte] ^= (uint8_t)(1 << bit % 8);
			if (parse(&f, &w) == QX_DROP_NONE)
				T_FAIL("IPv%d: bit %u of byte %u", families[i], bit % 8,
				       byte);
			f.bytes[byte] ^= (uint8_t)(1 << bit % 8);
		}
		expect(&f, QX_DROP_NONE);
	}
}

/* A frame cut anywhere is refused, and nothing past its end is read. */
static void a_frame_cut_anywhere_is_refused(void)
{
	for (int i = 0; i < 2; i++) {
		struct frame f = good(families[i], 30);
		uint32_t headers = wire_header_bytes(families[i]);

		for (uint32_t n = f.len_bytes; n-- > 0;) {
			f.len_bytes = n;
			expect(&f, n < headers ? QX_DROP_TRUNCATED : QX_DROP_IP_LENGTH);
		}
	}
}

/* Ethernet pads to 60 bytes and captures keep trailers: not part of the packet. */
static void padding_after_the_packet_is_ignored(void)
{
	for (int i = 0; i < 2; i++) {
		struct frame f = good(families[i], 3);
		struct wire_datagram w;

		memset(f.bytes + f.len_bytes, 0xdd, 100);
		f.len_bytes += 100;
		T_EQ(parse(&f, &w), QX_DROP_NONE);
		T_EQ(w.payload_len_bytes, 3);
	}
}

/* One change to a correct frame, and the verdict it must get. */
struct change {
	uint8_t family;
	uint8_t at;
	uint8_t bytes_cnt;
	uint8_t bytes[4];
	enum qx_drop verdict;
};

static const struct change changes[] = {
	{QX_IPV4, 0, 1, {0x04}, QX_DROP_DEST_MAC},
	{QX_IPV6, 5, 1, {0x00}, QX_DROP_DEST_MAC},
	{QX_IPV4, 12, 2, {0x08, 0x06}, QX_DROP_ETHERTYPE}, /* ARP */
	{QX_IPV4, 12, 2, {0x81, 0x00}, QX_DROP_ETHERTYPE}, /* VLAN */
	{QX_IPV6, 12, 2, {0x88, 0xa8}, QX_DROP_ETHERTYPE}, /* QinQ */
	{QX_IPV4, 14, 1, {0x65}, QX_DROP_IP_HEADER},
	{QX_IPV4, 14, 1, {0x46}, QX_DROP_IP_HEADER}, /* options */
	{QX_IPV4, 14, 1, {0x44}, QX_DROP_IP_HEADER},
	{QX_IPV6, 14, 1, {0x45}, QX_DROP_IP_HEADER},
	{QX_IPV4, 16, 2, {0x00, 0x13}, QX_DROP_IP_LENGTH},
	{QX_IPV4, 16, 2, {0xff, 0xff}, QX_DROP_IP_LENGTH},
	{QX_IPV6, 18, 2, {0xff, 0xff}, QX_DROP_IP_LENGTH},
	{QX_IPV4, 24, 2, {0x12, 0x34}, QX_DROP_IP_CHECKSUM},
	{QX_IPV4, 20, 2, {0x20, 0x00}, QX_DROP_FRAGMENT}, /* first */
	{QX_IPV4, 20, 2, {0x00, 0x01}, QX_DROP_FRAGMENT}, /* later */
	{QX_IPV4, 20, 2, {0x60, 0x00}, QX_DROP_FRAGMENT}, /* DF and MF */
	{QX_IPV4, 20, 2, {0x00, 0x00}, QX_DROP_NONE},     /* no DF is fine */
	{QX_IPV6, 20, 1, {44}, QX_DROP_FRAGMENT},
	{QX_IPV4, 23, 1, {6}, QX_DROP_NOT_UDP},
	{QX_IPV6, 20, 1, {0}, QX_DROP_NOT_UDP}, /* hop-by-hop */
	{QX_IPV6, 20, 1, {58}, QX_DROP_NOT_UDP},
	{QX_IPV4, 38, 2, {0x00, 0x07}, QX_DROP_UDP_LENGTH},
	{QX_IPV4, 38, 2, {0xff, 0xff}, QX_DROP_UDP_LENGTH},
	{QX_IPV4, 38, 2, {0x00, 0x25}, QX_DROP_UDP_LENGTH}, /* one short */
	{QX_IPV6, 58, 2, {0x00, 0x00}, QX_DROP_UDP_LENGTH},
	{QX_IPV6, 58, 2, {0x00, 0x27}, QX_DROP_UDP_LENGTH}, /* one long */
	{QX_IPV4, 60, 1, {0xfe}, QX_DROP_UDP_CHECKSUM},
	{QX_IPV6, 80, 1, {0xfe}, QX_DROP_UDP_CHECKSUM},
};

/* Each verdict names the first thing that is wrong, so that a counter points at it. */
static void each_defect_gets_its_own_verdict(void)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const struct change *c = &changes[i];
		struct frame f = good(c->family, 30);
		struct wire_datagram w;

		memcpy(f.bytes + c->at, c->bytes, c->bytes_cnt);
		if (c->family == QX_IPV4 && c->verdict != QX_DROP_IP_CHECKSUM)
			frame_fix_ip_sum(&f);
		if (parse(&f, &w) != c->verdict)
			T_FAIL("change %zu: verdict %d, not %d", i, parse(&f, &w),
			       c->verdict);
	}
}

static void from_address(uint8_t family, const uint8_t *ip, uint16_t port, enum qx_drop want)
{
	struct qx_addr from = {.family = family, .port = port}, to = addr(family, 8, 4433);
	struct frame f;

	memcpy(from.ip, ip, family == QX_IPV4 ? 4 : 16);
	frame_udp(&f, our_mac, &from, &to, 10);
	T_EQ(wire_address_possible(&from),
	     want != QX_DROP_SOURCE_ADDRESS || memcmp(from.ip, to.ip, 16) == 0);
	expect(&f, want);
}

/* Replies to these would go to ourselves, to everybody or to nobody. */
static void impossible_sources_are_refused(void)
{
	static const uint8_t bad_4[][4] = {{0, 0, 0, 0},         {0, 1, 2, 3},
					   {127, 0, 0, 1},       {127, 255, 0, 9},
					   {224, 0, 0, 1},       {239, 255, 255, 255},
					   {255, 255, 255, 255}, {198, 51, 100, 8}};
	static const uint8_t good_4[][4] = {{1, 0, 0, 0},
					    {126, 1, 1, 1},
					    {128, 0, 0, 1},
					    {223, 1, 1, 1},
					    {10, 0, 0, 255}};
	static const uint8_t bad_6[][16] = {{0},
					    {[15] = 1},
					    {0xff, 0x02, [15] = 1},
					    {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1},
					    {0x20, 1, 0xd, 0xb8, [15] = 8}};
	static const uint8_t good_6[][16] = {{0xfe, 0x80, [15] = 1},
					     {0xfd, [15] = 1},
					     {[15] = 2},
					     {[11] = 0xff, [15] = 1},
					     {0, 0x64, 0xff, 0x9b, [12] = 192, 0, 2, 1}};

	for (size_t i = 0; i < sizeof(bad_4) / 4; i++)
		from_address(QX_IPV4, bad_4[i], 1234, QX_DROP_SOURCE_ADDRESS);
	for (size_t i = 0; i < sizeof(good_4) / 4; i++)
		from_address(QX_IPV4, good_4[i], 1234, QX_DROP_NONE);
	for (size_t i = 0; i < sizeof(bad_6) / 16; i++)
		from_address(QX_IPV6, bad_6[i], 1234, QX_DROP_SOURCE_ADDRESS);
	for (size_t i = 0; i < sizeof(good_6) / 16; i++)
		from_address(QX_IPV6, good_6[i], 1234, QX_DROP_NONE);
	from_address(QX_IPV4, good_4[0], 0, QX_DROP_SOURCE_PORT);
	from_address(QX_IPV6, good_6[0], 0, QX_DROP_SOURCE_PORT);
}

/* An adapter that finishes checksums adds up the datagram, field included. */
static void a_partial_checksum_adds_up_to_the_whole_one(void)
{
	for (int i = 0; i < 2; i++)
		for (uint32_t n = 0; n < 600; n += 7) {
			struct frame whole = good(families[i], n), partial = whole;
			uint32_t udp = wire_header_bytes(families[i]) - WIRE_UDP_BYTES;
			struct wire_datagram w;
			uint16_t sum;

			T_EQ(wire_finish_partial(partial.bytes, families[i], n, 1),
			     wire_finish(whole.bytes, families[i], n, 1));
			T_EQ(parse(&partial, &w), QX_DROP_NONE);
			T_EQ(w.ecn, 1);
			sum = (uint16_t)~checksum_fold(checksum_add(
				partial.bytes + udp, partial.len_bytes - udp, 0));
			sum = sum ? sum : 0xffff;
			memcpy(partial.bytes + udp + 6, &sum, sizeof(sum));
			T_EQ(memcmp(partial.bytes, whole.bytes, whole.len_bytes), 0);
		}
}

/* A datagram longer than any MTU (a superframe that slipped through) is read if it is
 * consistent: nothing here assumes 1500. */
static void jumbo_datagrams_are_read(void)
{
	struct frame f = good(QX_IPV4, 4000);
	struct wire_datagram w;

	T_EQ(parse(&f, &w), QX_DROP_NONE);
	T_EQ(w.payload_len_bytes, 4000);
}

/* Random bytes behind a correct start reach deep; none may be read out of bounds. */
static void random_frames_are_harmless(void)
{
	uint64_t seed = 7;
	uint32_t accepted = 0;

	printf("  seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < 100000; round++) {
		struct frame f = good(families[round & 1], (uint32_t)t_random(&seed) % 50);
		struct wire_datagram w;

		for (uint64_t n = t_random(&seed) % 4; n > 0; n--)
			f.bytes[t_random(&seed) % 80] = (uint8_t)t_random(&seed);
		f.len_bytes =
			(uint32_t)(t_random(&seed) % 4 ? f.len_bytes : t_random(&seed) % 100);
		if (parse(&f, &w) != QX_DROP_NONE)
			continue;
		accepted++;
		T_CHECK(w.payload_off_bytes + w.payload_len_bytes <= f.len_bytes);
		T_CHECK(w.path.peer.family == w.path.local.family);
		T_CHECK(wire_address_possible(&w.path.peer));
	}
	T_CHECK(accepted > 1000);
}

static const struct t_case cases[] = {
	{"a correct datagram is read", a_correct_datagram_is_read},
	{"the writer agrees with a second opinion", the_writer_agrees_with_a_second_opinion},
	{"finishing is repeatable and carries ECN", finishing_is_repeatable_and_carries_ecn},
	{"checksums equal the textbook", checksums_equal_the_textbook},
	{"a partial checksum adds up to the whole one",
	 a_partial_checksum_adds_up_to_the_whole_one},
	{"a checksum of zero is sent as ones", a_checksum_of_zero_is_sent_as_ones},
	{"a partial checksum is accepted", a_partial_checksum_is_accepted},
	{"an absent checksum is accepted over IPv4 only",
	 an_absent_checksum_is_accepted_over_ipv4_only},
	{"every flipped bit is noticed", every_flipped_bit_is_noticed},
	{"a frame cut anywhere is refused", a_frame_cut_anywhere_is_refused},
	{"padding after the packet is ignored", padding_after_the_packet_is_ignored},
	{"each defect gets its own verdict", each_defect_gets_its_own_verdict},
	{"impossible sources are refused", impossible_sources_are_refused},
	{"jumbo datagrams are read", jumbo_datagrams_are_read},
	{"random frames are harmless", random_frames_are_harmless},
};

T_MAIN(cases)
