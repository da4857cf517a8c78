/* win_udp_tx.c: the sending half of the Windows socket lane: what WSASendMsg is given, and refuses. */
#include "win_sock.h"

static uint8_t payload[1 << 18];

static const struct control *control_of(const struct sent *s, int level, int type)
{
	for (uint32_t i = 0; i < s->control_cnt; i++)
		if (s->controls[i].level == level && s->controls[i].type == type)
			return &s->controls[i];
	return NULL;
}

static void send_equal(uint32_t n, uint32_t len_bytes, uint8_t ecn,
		       const struct qx_path *path)
{
	struct qx_send_item items[QX_BATCH_MAX];

	for (uint32_t i = 0; i < n; i++)
		items[i] = (struct qx_send_item){.len_bytes = len_bytes, .ecn = ecn};
	T_EQ(qx_send(dp, payload, items, n, path, 1), n);
}

/* USO is what makes sending cheap: one call for many datagrams. */
static void equal_datagrams_leave_as_one_message(void)
{
	const struct qx_path path = {.peer = v4(1, 9)};
	const struct control *c;

	fresh_v4();
	send_equal(40, 1200, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 1);
	T_EQ(winsock.sent[0].datagrams, 40);
	T_EQ(winsock.sent[0].len_bytes, 48000);
	c = control_of(&winsock.sent[0], IPPROTO_UDP, UDP_SEND_MSG_SIZE);
	T_CHECK(c != NULL);
	T_EQ(c->value, 1200);
	T_EQ(winsock.sent[0].control_cnt, 1);
	/* As many as fit one message, and 64 at the most. */
	send_equal(128, 1200, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 4);
	T_EQ(winsock.sent[1].datagrams, 54);
	T_EQ(winsock.sent[2].datagrams, 54);
	T_EQ(winsock.sent[3].datagrams, 20);
	send_equal(100, 10, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 6);
	T_EQ(winsock.sent[4].datagrams, 64);
	T_EQ(stats_of().lane[QX_LANE_SOCKET].tx_syscalls, 6);
	T_EQ(stats_of().lane[QX_LANE_SOCKET].tx_packets, 268);
	finish();
}

/* WinSock cuts at multiples of the size: only the last may be shorter, none may be empty. */
static void what_differs_goes_apart(void)
{
	const struct qx_path paths[] = {{.peer = v4(1, 9)}, {.peer = v4(1, 10)}};
	const struct qx_send_item items[] = {
		{.len_bytes = 100},
		{.len_bytes = 100},
		{.len_bytes = 60},
		{.len_bytes = 100},
		{.len_bytes = 101},
		{.len_bytes = 0},
		{.len_bytes = 0},
		{.len_bytes = 100, .ecn = QX_ECN_ECT0},
		{.len_bytes = 100, .ecn = QX_ECN_CE},
		{.len_bytes = 100, .ecn = QX_ECN_CE, .path = 1},
	};
	static const uint32_t datagrams[] = {3, 1, 1, 1, 1, 1, 1, 1};
	static const uint32_t lengths[] = {260, 100, 101, 0, 0, 100, 100, 100};

	fresh_v4();
	T_EQ(qx_send(dp, payload, items, 10, paths, 2), 10);
	T_EQ(winsock.sent_cnt, 8);
	for (uint32_t i = 0; i < 8; i++) {
		T_EQ(winsock.sent[i].datagrams, datagrams[i]);
		T_EQ(winsock.sent[i].len_bytes, lengths[i]);
		T_CHECK(winsock.sent[i].named);
	}
	finish();
}

/* Congestion control by marks (RFC 3168) needs the bits on the wire, in either family. */
static void ecn_goes_along(void)
{
	struct qx_path path = {.peer = v4(1, 9)};
	struct qx_addr any6 = {.family = QX_IPV6};
	const struct control *c;

	fresh_v4();
	send_equal(2, 100, QX_ECN_ECT0, &path);
	c = control_of(&winsock.sent[0], IPPROTO_IP, IP_ECN);
	T_CHECK(c && c->value == QX_ECN_ECT0);
	T_CHECK(control_of(&winsock.sent[0], IPPROTO_UDP, UDP_SEND_MSG_SIZE) != NULL);
	send_equal(1, 100, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent[1].control_cnt, 0);
	finish();

	fresh(&(struct qx_config){.local = any6, .socket_fd = -1});
	path.peer = (struct qx_addr){.family = QX_IPV6, .ip = {[15] = 1}, .port = 9};
	send_equal(1, 100, QX_ECN_CE, &path);
	c = control_of(&winsock.sent[0], IPPROTO_IPV6, IPV6_ECN);
	T_CHECK(c && c->value == QX_ECN_CE);
	/* IPv4 over a socket of both families: IPv4's control data. */
	path.peer = v4(1, 9);
	send_equal(1, 100, QX_ECN_CE, &path);
	c = control_of(&winsock.sent[1], IPPROTO_IP, IP_ECN);
	T_CHECK(c && c->value == QX_ECN_CE);
	finish();
}

/* A server on all addresses answers from the one that was asked (RFC 9000 section 9). */
static void the_source_address_goes_along(void)
{
	struct qx_path path = {.peer = v4(1, 9), .local = v4(2, 0)};
	const struct control *c;

	fresh(&(struct qx_config){.local = {.family = QX_IPV4}, .socket_fd = -1});
	send_equal(1, 100, QX_ECN_NOT_ECT, &path);
	c = control_of(&winsock.sent[0], IPPROTO_IP, IP_PKTINFO);
	T_CHECK(c && c->value == htonl(0x7f000002));
	path.local = (struct qx_addr){.family = QX_IPV4};
	send_equal(1, 100, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent[1].control_cnt, 0);
	finish();

	fresh(&(struct qx_config){.local = {.family = QX_IPV6}, .socket_fd = -1});
	path.peer = (struct qx_addr){.family = QX_IPV6, .ip = {[15] = 1}, .port = 9};
	path.local = (struct qx_addr){.family = QX_IPV6, .ip = {0xfd, [15] = 7}};
	send_equal(1, 100, QX_ECN_NOT_ECT, &path);
	T_CHECK(control_of(&winsock.sent[0], IPPROTO_IPV6, IPV6_PKTINFO) != NULL);
	T_EQ(memcmp(winsock.sent[0].ipv6_source, path.local.ip, 16), 0);
	finish();
}

static int refuse_uso(const struct sent *s)
{
	return s->datagrams > 1 ? WSAEOPNOTSUPP : 0;
}

static int refuse_large_uso(const struct sent *s)
{
	return s->datagrams > 1 && s->len_bytes / s->datagrams > 1000 ? WSAEINVAL : 0;
}

/* An older Windows, or a filter in between, takes no USO: everything leaves all the same. */
static void a_refused_message_goes_datagram_by_datagram(void)
{
	const struct qx_path path = {.peer = v4(1, 9)};
	uint64_t before;

	fresh_v4();
	winsock.refuse = refuse_uso;
	send_equal(20, 1200, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 20);
	before = stats_of().lane[QX_LANE_SOCKET].tx_syscalls;
	T_EQ(before, 21);
	/* Learned: nothing is refused a second time. */
	send_equal(20, 1200, QX_ECN_NOT_ECT, &path);
	T_EQ(stats_of().lane[QX_LANE_SOCKET].tx_syscalls, before + 20);
	finish();

	fresh_v4();
	winsock.refuse = refuse_large_uso;
	send_equal(4, 1200, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 4);
	send_equal(4, 900, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 5);
	T_EQ(winsock.sent[4].datagrams, 4);
	finish();
}

static int refuse_ecn(const struct sent *s)
{
	return control_of(s, IPPROTO_IP, IP_ECN) ? WSAEINVAL : 0;
}

/* No marks are better than no packets. */
static void refused_ecn_is_left_out(void)
{
	const struct qx_path path = {.peer = v4(1, 9)};
	struct qx_error error;

	fresh_v4();
	winsock.refuse = refuse_ecn;
	send_equal(3, 100, QX_ECN_ECT0, &path);
	T_EQ(winsock.sent_cnt, 3);
	send_equal(3, 100, QX_ECN_ECT0, &path);
	for (uint32_t i = 0; i < winsock.sent_cnt; i++)
		T_CHECK(!control_of(&winsock.sent[i], IPPROTO_IP, IP_ECN));
	T_EQ(qx_next_error(dp, &error), 0);
	T_EQ(stats_of().lane[QX_LANE_SOCKET].tx_packets, 6);
	finish();
}

static uint32_t block_after;

static int block(const struct sent *s)
{
	(void)s;
	return winsock.sent_cnt >= block_after ? WSAEWOULDBLOCK : 0;
}

/* A full send buffer keeps everything, in order. */
static void what_finds_no_room_stays(void)
{
	const struct qx_path path = {.peer = v4(1, 9)};
	struct qx_send_item items[3] = {
		{.len_bytes = 10}, {.len_bytes = 20}, {.len_bytes = 30}};

	fresh_v4();
	winsock.refuse = block;
	block_after = 1;
	T_EQ(qx_send(dp, payload, items, 3, &path, 1), 3);
	T_EQ(winsock.sent_cnt, 1);
	T_EQ(qx_flush(dp), 1);
	block_after = 100;
	T_EQ(qx_flush(dp), 0);
	T_EQ(winsock.sent_cnt, 3);
	T_EQ(winsock.sent[1].len_bytes, 20);
	T_EQ(winsock.sent[2].len_bytes, 30);
	finish();
}

static int refusals;

static int refuse_once(const struct sent *s)
{
	(void)s;
	return refusals-- > 0 ? WSAECONNRESET : 0;
}

static int unreachable(const struct sent *s)
{
	return s->len_bytes == 20 ? WSAEHOSTUNREACH : 0;
}

/* An ICMP message about an earlier datagram costs the next one nothing; one that cannot be
 * sent is reported and takes none along. */
static void errors_are_reported_for_the_datagram_they_are_about(void)
{
	const struct qx_path path = {.peer = v4(1, 9)};
	const struct qx_send_item items[] = {
		{.len_bytes = 10}, {.len_bytes = 20}, {.len_bytes = 30}};
	struct qx_error error;

	fresh_v4();
	winsock.refuse = refuse_once;
	refusals = 1;
	send_equal(1, 100, QX_ECN_NOT_ECT, &path);
	T_EQ(winsock.sent_cnt, 1);
	T_EQ(qx_next_error(dp, &error), 1);
	T_EQ(error.code, ECONNREFUSED);
	T_EQ(error.peer.port, 9);

	winsock.refuse = unreachable;
	T_EQ(qx_send(dp, payload, items, 3, &path, 1), 3);
	T_EQ(winsock.sent_cnt, 3);
	T_EQ(qx_next_error(dp, &error), 1);
	T_EQ(error.code, EHOSTUNREACH);
	T_EQ(stats_of().drop[QX_DROP_SEND_ERROR], 1);
	finish();
}

static const struct t_case cases[] = {
	{"equal datagrams leave as one message", equal_datagrams_leave_as_one_message},
	{"what differs goes apart", what_differs_goes_apart},
	{"ECN goes along", ecn_goes_along},
	{"the source address goes along", the_source_address_goes_along},
	{"a refused message goes datagram by datagram",
	 a_refused_message_goes_datagram_by_datagram},
	{"refused ECN is left out", refused_ecn_is_left_out},
	{"what finds no room stays", what_finds_no_room_stays},
	{"errors are reported for the datagram they are about",
	 errors_are_reported_for_the_datagram_they_are_about},
};

WIN_SOCK_MAIN(cases)
