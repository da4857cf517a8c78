/* win_udp_rx.c: the receiving half of the Windows socket lane: whatever WSARecvMsg gives. */
#include "win_sock.h"

static struct qx_batch batch;

static void put_control(int level, int type, const void *value, size_t value_bytes)
{
	WSACMSGHDR head = {.cmsg_len = WSA_CMSG_LEN(value_bytes),
			   .cmsg_level = level,
			   .cmsg_type = type};
	uint8_t *at = winsock.recv_control.bytes + winsock.recv_control_bytes;

	memcpy(at, &head, sizeof(head));
	memcpy(at + WSA_CMSG_LEN(0), value, value_bytes);
	winsock.recv_control_bytes += (ULONG)udp_control_space(value_bytes);
}

static uint32_t receive(void)
{
	int n = qx_recv(dp, &batch, platform_now_ns());

	T_CHECK(n >= 0);
	return (uint32_t)n;
}

/* URO gives many datagrams at once; every boundary, mark and address must survive. */
static void a_merged_message_is_taken_apart(void)
{
	const DWORD segment_bytes = 1200;
	const INT ecn = QX_ECN_CE;
	const struct in_pktinfo info = {.ipi_addr.s_addr = htonl(0x7f000005)};

	fresh(&(struct qx_config){.local = {.family = QX_IPV4}, .socket_fd = -1});
	put_control(IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	put_control(IPPROTO_UDP, UDP_COALESCED_INFO, &segment_bytes, sizeof(segment_bytes));
	put_control(IPPROTO_IP, IP_ECN, &ecn, sizeof(ecn));
	winsock.recv_len_bytes = 3000;
	T_EQ(receive(), 3);
	T_EQ(batch.datagrams[0].len_bytes, 1200);
	T_EQ(batch.datagrams[2].len_bytes, 600);
	T_EQ(batch.datagrams[2].data[0], 2400 % 251);
	T_EQ(batch.datagrams[1].ecn, QX_ECN_CE);
	T_EQ(batch.path_cnt, 1);
	T_EQ(batch.paths[0].local.ip[3], 5);
	T_EQ(batch.paths[0].peer.port, 1000);
	qx_recv_done(dp, &batch);
	finish();
}

/* More than a batch holds: the rest comes with the next call, and qx_wait says so. */
static void a_message_larger_than_a_batch_comes_in_parts(void)
{
	const DWORD segment_bytes = 100;

	fresh_v4();
	put_control(IPPROTO_UDP, UDP_COALESCED_INFO, &segment_bytes, sizeof(segment_bytes));
	winsock.recv_len_bytes = 30050;
	T_EQ(receive(), QX_BATCH_MAX);
	T_EQ(batch.datagrams[QX_BATCH_MAX - 1].off_bytes, 255 * 100);
	T_EQ(qx_wait(dp, 0, 0), 1);
	qx_recv_done(dp, &batch);
	T_EQ(receive(), 301 - QX_BATCH_MAX);
	T_EQ(batch.datagrams[batch.datagram_cnt - 1].len_bytes, 50);
	qx_recv_done(dp, &batch);
	T_EQ(receive(), 0);
	T_EQ(stats_of().lane[QX_LANE_SOCKET].rx_bytes, 30050);
	finish();
}

/* Without its control data a merged message cannot be told from one datagram. */
static void cut_messages_are_counted_and_dropped(void)
{
	fresh_v4();
	winsock.recv_len_bytes = 100;
	winsock.recv_flags = MSG_CTRUNC;
	T_EQ(receive(), 0);
	T_EQ(stats_of().drop[QX_DROP_TRUNCATED], 1);
	winsock.recv_len_bytes = 100;
	winsock.recv_flags = MSG_TRUNC;
	T_EQ(receive(), 0);
	T_EQ(stats_of().drop[QX_DROP_OVERLONG], 1);
	winsock.recv_error = WSAEMSGSIZE;
	T_EQ(receive(), 0);
	T_EQ(stats_of().drop[QX_DROP_OVERLONG], 2);
	winsock.recv_len_bytes = 100;
	winsock.recv_flags = 0;
	winsock.recv_port = 0;
	T_EQ(receive(), 0);
	T_EQ(stats_of().drop[QX_DROP_SOURCE_PORT], 1);
	finish();
}

/* Whoever may not send to us must not keep us from everything else either. */
static void a_flood_of_dropped_messages_ends_a_turn(void)
{
	fresh_v4();
	winsock.recv_for_ever = true;
	winsock.recv_len_bytes = 100;
	winsock.recv_port = 0;
	T_EQ(receive(), 0);
	T_EQ(stats_of().lane[QX_LANE_SOCKET].rx_syscalls, UDP_RX_TURN);
	T_EQ(stats_of().drop[QX_DROP_SOURCE_PORT], UDP_RX_TURN);
	winsock.recv_port = 1000;
	T_EQ(receive(), UDP_RX_TURN);
	qx_recv_done(dp, &batch);
	finish();
}

/* WinSock reports ICMP messages as errors of receiving. */
static void an_error_of_receiving_is_reported_and_nothing_stops(void)
{
	struct qx_error error;

	fresh_v4();
	winsock.recv_error = WSAECONNRESET;
	T_EQ(receive(), 0);
	T_EQ(qx_next_error(dp, &error), 1);
	T_EQ(error.code, ECONNREFUSED);
	winsock.recv_len_bytes = 100;
	T_EQ(receive(), 1);
	qx_recv_done(dp, &batch);
	finish();
}

/* Whatever stands in the control buffer, nothing beyond it is read. */
static void control_data_of_any_bytes_is_harmless(void)
{
	uint64_t seed = 20261124;

	fresh_v4();
	printf("  seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < 20000; round++) {
		for (uint32_t i = 0; i < UDP_CONTROL_BYTES; i++)
			winsock.recv_control.bytes[i] =
				(uint8_t)(t_random(&seed) % (i % 8 ? 4 : 64));
		winsock.recv_control_bytes = (ULONG)(t_random(&seed) % UDP_CONTROL_BYTES);
		winsock.recv_len_bytes = (uint32_t)(t_random(&seed) % 3000);
		receive();
		qx_recv_done(dp, &batch);
	}
	while (receive() > 0)
		qx_recv_done(dp, &batch);
	finish();
}

static const struct t_case cases[] = {
	{"a merged message is taken apart", a_merged_message_is_taken_apart},
	{"a message larger than a batch comes in parts",
	 a_message_larger_than_a_batch_comes_in_parts},
	{"cut messages are counted and dropped", cut_messages_are_counted_and_dropped},
	{"a flood of dropped messages ends a turn", a_flood_of_dropped_messages_ends_a_turn},
	{"an error of receiving is reported and nothing stops",
	 an_error_of_receiving_is_reported_and_nothing_stops},
	{"control data of any bytes is harmless", control_data_of_any_bytes_is_harmless},
};

WIN_SOCK_MAIN(cases)
