/* flood_load.c: Initials that nobody means, from addresses that nobody has, at a steady rate.
 *
 *      flood_load FILE interface= peer=ADDRESS:PORT mac=SERVER [packets=40000]
 *
 * Each Initial is real: its destination connection ID is its own, its keys are made of that
 * (RFC 9001 section 5.2), and in it is the ClientHello that FILE holds (plaintext of an
 * Initial that a client wrote, behind 8 bytes of its source connection ID).  So many
 * are made before "ready" is printed, because making one costs more than sending it; when a flood has
 * sent all of them they come again.
 *
 * Then each line of stdin is a flood, and is answered by one JSON object:
 *
 *      initials|junk|spread RATE MS
 *
 * Sources lie in eight networks of 198.18.0.0/15 (RFC 2544), with spread in as many as there
 * are addresses.  Junk is random bytes of random length, every second one with the first byte
 * of a long header.  What was due and could not be sent in time is sent late: "max_late" says
 * how much that was at once. */
#define _GNU_SOURCE
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "load.h"
#include "protect.h"

enum {
	CID_BYTES = 8,
	HEADERS_BYTES = 14 + 20 + 8,
	INITIAL_BYTES = 1200,
	TICK_NS = 1000000,
	BATCH = 256,
	NETWORKS = 8,
	PORT_OFF = 34,
	HELLO_MAX_BYTES = INITIAL_BYTES
};

/* RFC 9001 section 5.2: of QUIC version 1. */
static const uint8_t initial_salt[] = {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34,
				       0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
				       0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a};

static uint64_t seed = 1;
static uint8_t (*pool)[INITIAL_BYTES];
static uint32_t pool_cnt = 40000, pool_next;
static uint8_t headers[BATCH][HEADERS_BYTES];
static uint8_t junk[65536];
static struct mmsghdr messages[BATCH];
static struct iovec pieces[BATCH][2];

static uint64_t random64(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 2685821657736338717u;
}

/* ---- Initials ---- */

static void hkdf(int mode, const uint8_t *key, const void *salt, size_t salt_bytes,
		 const void *info, size_t info_bytes, uint8_t out[32])
{
	static EVP_KDF *kdf;
	OSSL_PARAM params[6], *p = params;
	EVP_KDF_CTX *ctx;

	if (!kdf)
		kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	ctx = EVP_KDF_CTX_new(kdf);
	*p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0);
	*p++ = OSSL_PARAM_construct_octet_string(
		OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key,
		mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY ? CID_BYTES : 32);
	if (salt)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT,
							 (void *)(uintptr_t)salt, salt_bytes);
	if (info)
		*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO,
							 (void *)(uintptr_t)info, info_bytes);
	*p = OSSL_PARAM_construct_end();
	if (!ctx || EVP_KDF_derive(ctx, out, 32, params) != 1)
		die("HKDF", EIO);
	EVP_KDF_CTX_free(ctx);
}

static void initial(uint8_t *packet, const uint8_t *scid, const uint8_t *hello,
		    size_t hello_bytes)
{
	/* The label "client in" of HKDF-Expand-Label, for 32 bytes (RFC 8446 section 7.1). */
	static const char label[] = "\0\x20\x0ftls13 client in\0";
	const uint64_t dcid = random64();
	const size_t rest = 4 + hello_bytes + PROTECT_TAG_BYTES;
	uint8_t extracted[32], secret[32], *p = packet;
	struct protect_half *half;

	*p++ = 0xc3; /* Initial, packet number of four bytes */
	memcpy(p, (uint8_t[]){0, 0, 0, 1, CID_BYTES}, 5);
	memcpy(p + 5, &dcid, CID_BYTES);
	p += 5 + CID_BYTES;
	*p++ = CID_BYTES;
	memcpy(p, scid, CID_BYTES);
	p += CID_BYTES;
	*p++ = 0;
	*p++ = (uint8_t)(0x40 | rest >> 8);
	*p++ = (uint8_t)rest;
	memset(p, 0, 4);
	p += 4;
	if ((size_t)(p - packet) + hello_bytes + PROTECT_TAG_BYTES != INITIAL_BYTES)
		die("the file with the ClientHello makes no datagram of 1200 bytes", EINVAL);
	memcpy(p, hello, hello_bytes);
	hkdf(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, (const uint8_t *)&dcid, initial_salt,
	     sizeof(initial_salt), NULL, 0, extracted);
	hkdf(EVP_KDF_HKDF_MODE_EXPAND_ONLY, extracted, NULL, 0, label, sizeof(label) - 1,
	     secret);
	if (protect_open(&half, QX_AES_128_GCM_SHA256, 1, false, true, secret, 32) < 0 ||
	    protect_seal(half, packet, (uint32_t)(p - packet), 4, (uint32_t)hello_bytes, 0) <
		    0)
		die("sealing an Initial", EIO);
	protect_close(half);
}

static void make_pool(const char *path)
{
	uint8_t file[CID_BYTES + HELLO_MAX_BYTES];
	FILE *f = fopen(path, "rb");
	size_t size;

	if (!f)
		die(path, errno);
	size = fread(file, 1, sizeof(file), f);
	fclose(f);
	if (size <= CID_BYTES)
		die(path, EINVAL);
	pool = malloc((size_t)pool_cnt * sizeof(*pool));
	if (!pool)
		die("memory", ENOMEM);
	for (uint32_t i = 0; i < pool_cnt; i++)
		initial(pool[i], file, file + CID_BYTES, size - CID_BYTES);
	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = (uint8_t)(random64() >> 32);
}

/* ---- Frames ---- */

static void put16(uint8_t *p, size_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static void head(uint8_t *h, const struct args *a, const uint8_t *own_mac, uint32_t source,
		 size_t payload_bytes)
{
	uint32_t sum = 0;

	memcpy(h, a->peer_mac, 6);
	memcpy(h + 6, own_mac, 6);
	memcpy(h + 12, (uint8_t[]){0x08, 0x00, 0x45, 0}, 4);
	put16(h + 16, 20 + 8 + payload_bytes);
	memcpy(h + 18, (uint8_t[]){0, 0, 0x40, 0, 64, 17, 0, 0}, 8);
	memcpy(h + 26, &source, 4);
	memcpy(h + 30, &a->peer.sin_addr, 4);
	for (int i = 14; i < 34; i += 2)
		sum += (uint32_t)(h[i] << 8 | h[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(h + 24, ~(sum + (sum >> 16)) & 0xffff);
	put16(h + PORT_OFF, 1024 + random64() % 60000);
	memcpy(h + 36, &a->peer.sin_port, 2);
	put16(h + 38, 8 + payload_bytes);
	put16(h + 40, 0); /* none: legal over IPv4 */
}

static void prepare(int i, const struct args *a, const uint8_t *own_mac, const char *mode)
{
	const uint64_t r = random64();
	const uint32_t network =
		*mode == 's' ? (uint32_t)(r >> 40) % 512 : (uint32_t)(r >> 40) % NETWORKS;
	const uint32_t source = htonl(0xc6120000 | network << 8 | (uint8_t)(1 + r % 254));

	if (*mode == 'j') {
		const size_t off = (r >> 8) % (sizeof(junk) - 1500);

		pieces[i][1] = (struct iovec){junk + off, 1 + (r >> 24) % 1400};
		junk[off] = (uint8_t)(r % 2 ? 0xc0 | r >> 60 : r >> 56);
	} else {
		pieces[i][1] = (struct iovec){pool[pool_next], INITIAL_BYTES};
		pool_next = (pool_next + 1) % pool_cnt;
	}
	head(headers[i], a, own_mac, source, pieces[i][1].iov_len);
	pieces[i][0] = (struct iovec){headers[i], HEADERS_BYTES};
	messages[i].msg_hdr = (struct msghdr){.msg_iov = pieces[i], .msg_iovlen = 2};
}

/* ---- Floods ---- */

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void flood(int fd, const struct args *a, const uint8_t *own_mac, const char *mode,
		  uint64_t rate, uint64_t ms)
{
	const uint64_t start = now_ns(), cpu_start = cpu_ns(), total = rate * ms / 1000;
	uint64_t sent = 0, refused = 0, max_late = 0, tick = 0;

	while (sent + refused < total) {
		uint64_t due = (now_ns() - start) * rate / 1000000000u, next;
		struct timespec until;

		if (due > total)
			due = total;
		if (due - sent - refused > max_late)
			max_late = due - sent - refused;
		while (sent + refused < due) {
			const uint64_t left = due - sent - refused;
			const int n = left < BATCH ? (int)left : BATCH;
			int done;

			for (int i = 0; i < n; i++)
				prepare(i, a, own_mac, mode);
			done = sendmmsg(fd, messages, (unsigned int)n, 0);
			sent += done > 0 ? (uint64_t)done : 0;
			/* ENOBUFS: the link is full. */
			refused += (uint64_t)(n - (done > 0 ? done : 0));
		}
		next = start + ++tick * TICK_NS;
		until = (struct timespec){(time_t)(next / 1000000000u),
					  (long)(next % 1000000000u)};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	}
	printf("{\"sent\": %llu, \"refused\": %llu, \"max_late\": %llu, \"wall_ns\": %llu, "
	       "\"cpu_ns\": %llu}\n",
	       (unsigned long long)sent, (unsigned long long)refused,
	       (unsigned long long)max_late, (unsigned long long)(now_ns() - start),
	       (unsigned long long)(cpu_ns() - cpu_start));
	fflush(stdout);
}

static int open_interface(const char *name, uint8_t own_mac[6])
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1;
	socklen_t len = sizeof(to);

	if (fd < 0 || to.sll_ifindex == 0 ||
	    bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&to, &len) < 0)
		die(name, errno);
	/* As a flood's router would not wait for this host's queues. */
	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) < 0)
		die("PACKET_QDISC_BYPASS", errno);
	memcpy(own_mac, to.sll_addr, 6);
	return fd;
}

int main(int argc, char **argv)
{
	char line[128], mode[16];
	unsigned long long rate, ms;
	uint8_t own_mac[6];
	struct args a;
	int fd;

	parse_args(&a, argc, argv);
	if (a.packets)
		pool_cnt = (uint32_t)a.packets;
	make_pool(a.role);
	fd = open_interface(a.interface, own_mac);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%15s %llu %llu", mode, &rate, &ms) != 3 || rate == 0)
			die(line, EINVAL);
		flood(fd, &a, own_mac, mode, rate, ms);
	}
	return 0;
}
