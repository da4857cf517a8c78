/* contract_arrive.h: the part of the contract about datagrams that arrive: bytes, sizes,
 * order, addresses, ECN; used by contract.c. */
#ifndef QX_CONTRACT_ARRIVE_H
#define QX_CONTRACT_ARRIVE_H

#include "contract_io.h"

/* Bytes, both addresses, lane: what every user of a datagram relies on. */
static void one_datagram_arrives_each_way(void)
{
	const struct message m[] = {{.len_bytes = 1200, .seed = 5}};
	struct expectation at_hub, at_client;
	struct qx_path there, back;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	back = path_to(CLIENT_ADDR);
	at_hub = (struct expectation){.peer = CLIENT_ADDR, .local = HUB_ADDR, .lane = true};
	at_client =
		(struct expectation){.peer = HUB_ADDR, .local = CLIENT_ADDR, .lane = true};
	converse(CLIENT, &there, pair.hub, m, 1, &at_hub);
	converse(pair.hub, &back, CLIENT, m, 1, &at_client);
	T_CHECK(stats_of(CLIENT).lane[backend->lane].tx_packets >= 1);
	T_CHECK(stats_of(pair.hub).lane[backend->lane].tx_packets >= 1);
}

/* An endpoint is told the port that was picked for it. */
static void the_bound_address_is_reported(void)
{
	struct qx_addr local;

	open_pair((struct contract_options){0});
	qx_local(pair.hub, &local);
	check_addr(&local, HUB_ADDR);
	T_CHECK(local.port != 0);
}

/* Empty datagrams are legal UDP, and the longest is where off-by-ones live. */
static void all_sizes_arrive(void)
{
	struct message m[] = {{.len_bytes = 0, .seed = 1},    {.len_bytes = 1, .seed = 2},
			      {.len_bytes = 2, .seed = 3},    {.len_bytes = 1200, .seed = 4},
			      {.len_bytes = 0, .seed = 5},    {.len_bytes = 0, .seed = 6},
			      {.len_bytes = 1201, .seed = 7}, {.len_bytes = 0, .seed = 8}};
	struct qx_path there, back;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	back = path_to(CLIENT_ADDR);
	m[5].len_bytes = payload_max();
	m[7].len_bytes = payload_max() - 1;
	converse(CLIENT, &there, pair.hub, m, 8, &any);
	converse(pair.hub, &back, CLIENT, m, 8, &any);
}

static void wait_for_error(struct qx_datapath *dp, int code)
{
	struct qx_error error;

	for (int i = 0; i < ROUNDS_WITHOUT_PROGRESS; i++) {
		idle_turn(dp);
		if (qx_next_error(dp, &error)) {
			T_EQ(error.code, code);
			T_EQ(qx_next_error(dp, &error), 0);
			return;
		}
		pump();
	}
	T_FAIL("no error was reported");
}

/* One datagram that cannot be sent is reported and does not take its neighbours along. */
static void a_datagram_too_long_is_reported_and_the_rest_delivered(void)
{
	struct message m[] = {{.len_bytes = 100, .seed = 1},
			      {.len_bytes = 0, .seed = 2},
			      {.len_bytes = 200, .seed = 3}};
	const struct message sent[] = {m[0], m[2]};
	uint32_t got = 0;
	struct qx_path there;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	m[1].len_bytes = payload_max() + 1;
	T_EQ(send_some(CLIENT, &there, m, 3), 3);
	for (int i = 0; got < 2 && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		pump();
		receive(pair.hub);
		for (uint32_t k = 0; k < batch.datagram_cnt; k++) {
			T_CHECK(got < 2);
			check_datagram(&batch.datagrams[k], &sent[got++], &any);
		}
		done(pair.hub);
	}
	T_EQ(got, 2);
	wait_for_error(CLIENT, EMSGSIZE);
}

/* A caller learns before writing that no path takes so much. */
static void reserving_more_than_udp_can_carry_is_refused(void)
{
	struct qx_slot slots[2];
	struct qx_path there;

	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	T_EQ(qx_reserve(CLIENT, &there, QX_UDP_PAYLOAD_MAX + 1, slots, 2), -EMSGSIZE);
	T_EQ(qx_reserve(CLIENT, &there, UINT32_MAX, slots, 2), -EMSGSIZE);
	check_census(CLIENT);
}

/* Downloads are long runs of full packets; none may be lost or overtake. */
static void thousands_arrive_in_order_when_the_reader_keeps_up(void)
{
	enum {
		N = 5000
	};
	static struct message m[N];
	struct qx_path there, back;

	fill_messages(m, N, 1200);
	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	back = path_to(CLIENT_ADDR);
	converse(CLIENT, &there, pair.hub, m, N, &any);
	converse(pair.hub, &back, CLIENT, m, N, &any);
}

/* Batching by equal size (UDP_SEGMENT, UDP_GRO) must keep every boundary. */
static void boundaries_survive_batching(void)
{
	enum {
		N = 400
	};
	static struct message m[N];
	static const uint32_t pattern[] = {1200, 1200, 1200, 1200, 700, 1200, 1200, 1,
					   1,    1200, 2,    3,    5,   1200, 1199, 1201,
					   60,   60,   60,   61,   60,  1300, 1300, 100};
	struct qx_path there, back;

	fill_messages(m, N, 0);
	for (uint32_t i = 0; i < N; i++)
		m[i].len_bytes = pattern[(i * i + i / 24) % 24];
	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	back = path_to(CLIENT_ADDR);
	converse(CLIENT, &there, pair.hub, m, N, &any);
	converse(pair.hub, &back, CLIENT, m, N, &any);
}

/* Switching the kernel's batching off changes the cost, nothing else. */
static void batching_switched_off_delivers_the_same(void)
{
	enum {
		N = 100
	};
	struct message m[N];
	struct qx_path there;

	fill_messages(m, N, 1200);
	m[N - 1].len_bytes = 7;
	open_pair((struct contract_options){.flags = QX_CFG_NO_GSO | QX_CFG_NO_GRO});
	there = path_to(HUB_ADDR);
	converse(CLIENT, &there, pair.hub, m, N, &any);
}

/* One batch holds many peers; replies made from its paths reach the right ones. */
static void many_peers_interleaved_each_get_their_own(void)
{
	enum {
		N = 40
	};
	uint32_t heard[CONTRACT_CLIENT_MAX] = {0}, answered[CONTRACT_CLIENT_MAX] = {0};
	struct qx_path there;

	open_pair((struct contract_options){.client_cnt = CONTRACT_CLIENT_MAX});
	there = path_to(HUB_ADDR);
	for (uint32_t round = 0; round < N; round++)
		for (uint32_t c = 0; c < CONTRACT_CLIENT_MAX; c++) {
			struct message m = {.len_bytes = 20 + c, .seed = round};

			T_EQ(send_some(pair.clients[c], &there, &m, 1), 1);
		}
	for (uint32_t idle = 0, total = 0; total < N * CONTRACT_CLIENT_MAX; idle++) {
		struct qx_send_item items[QX_BATCH_MAX];
		uint32_t used = 0, n;

		if (idle == ROUNDS_WITHOUT_PROGRESS)
			T_FAIL("only %u datagrams arrived", total);
		pump();
		n = receive(pair.hub);
		for (uint32_t i = 0; i < n; i++) {
			const struct qx_datagram *d = &batch.datagrams[i];
			uint32_t c = d->len_bytes - 20;
			struct message m = {.len_bytes = d->len_bytes};

			T_CHECK(c < CONTRACT_CLIENT_MAX);
			check_addr(&batch.paths[d->path].peer, &pair.client_addr[c]);
			m.seed = heard[c]++;
			check_bytes(d->data, d->len_bytes, &m);
			memcpy(payload_buffer + used, d->data, d->len_bytes);
			used += d->len_bytes;
			items[i] = (struct qx_send_item){.len_bytes = d->len_bytes,
							 .path = d->path};
		}
		T_EQ(qx_send(pair.hub, payload_buffer, items, n, batch.paths, batch.path_cnt),
		     n);
		done(pair.hub);
		total += n;
		idle = n ? 0 : idle;
	}
	for (uint32_t c = 0; c < CONTRACT_CLIENT_MAX; c++) {
		for (uint32_t i = 0; i < ROUNDS_WITHOUT_PROGRESS && answered[c] < N; i++) {
			receive(pair.clients[c]);
			for (uint32_t k = 0; k < batch.datagram_cnt; k++) {
				struct message m = {.len_bytes = 20 + c,
						    .seed = answered[c]++};

				check_bytes(batch.datagrams[k].data,
					    batch.datagrams[k].len_bytes, &m);
			}
			done(pair.clients[c]);
			pump();
		}
		T_EQ(answered[c], N);
	}
}

/* QUIC's congestion control reads CE and validates ECT (RFC 9000 section 13.4). */
static void all_ecn_codepoints_travel_both_ways(void)
{
	enum {
		N = 64
	};
	struct message m[N];
	const struct expectation with_ecn = {.ecn = true};
	struct qx_path there, back;

	fill_messages(m, N, 1200);
	for (uint32_t i = 0; i < N; i++)
		m[i].ecn = (uint8_t)((i + i / 8) % 4);
	open_pair((struct contract_options){0});
	there = path_to(HUB_ADDR);
	back = path_to(CLIENT_ADDR);
	converse(CLIENT, &there, pair.hub, m, N, &with_ecn);
	converse(pair.hub, &back, CLIENT, m, N, &with_ecn);
}

/* A server on a wildcard address must answer from the address that was asked, or the
 * client drops the answer (RFC 9000 section 9). */
static void a_reply_leaves_from_the_address_that_was_asked(void)
{
	const struct message m[] = {{.len_bytes = 300, .seed = 9}};

	open_pair((struct contract_options){.wildcard = true});
	for (int round = 0; round < 3; round++)
		for (uint32_t i = 0; i < CONTRACT_HUB_ADDRESS_MAX; i++) {
			struct qx_path there = path_to(&pair.hub_addr[i]);
			struct qx_path back = path_to(CLIENT_ADDR);
			struct expectation at_hub = {.local = &pair.hub_addr[i]};
			struct expectation at_client = {.peer = &pair.hub_addr[i]};

			back.local = pair.hub_addr[i];
			converse(CLIENT, &there, pair.hub, m, 1, &at_hub);
			converse(pair.hub, &back, CLIENT, m, 1, &at_client);
		}
}

/* open_other opens one more endpoint beside the hub, on a port nobody uses, with a rule for
 * who may send to it unless that is NULL. */
static struct qx_datapath *open_other(const struct qx_source_rule *rule)
{
	struct qx_config cfg = {.local = *HUB_ADDR,
				.socket_fd = -1,
				.source_rules = rule,
				.source_rule_cnt = rule ? 1 : 0};
	struct qx_datapath *dp = NULL;
	char why[QX_WHY_BYTES] = "";
	int rc = -EADDRINUSE;

	for (int i = 1; i <= 16 && rc == -EADDRINUSE; i++) {
		cfg.local.port = (uint16_t)(HUB_ADDR->port ^ (17 * i));
		rc = backend->open_config(&pair, &dp, &cfg, why);
	}
	if (rc < 0)
		T_FAIL("%s", why);
	return dp;
}

/* A connected endpoint's owner relies on hearing one peer only. */
static void a_connected_endpoint_hears_only_its_peer(void)
{
	const struct message wanted[] = {{.len_bytes = 50, .seed = 1}};
	const struct message stray[] = {{.len_bytes = 60, .seed = 2}};
	struct qx_datapath *other;
	struct qx_path back;

	open_pair((struct contract_options){.connected = true});
	back = path_to(CLIENT_ADDR);
	other = open_other(NULL);
	T_EQ(send_some(other, &back, stray, 1), 1);
	pump();
	converse(pair.hub, &back, CLIENT, wanted, 1, &any);
	qx_close(other);
}

/* On the XDP lane no firewall does it. */
static void a_denied_source_is_dropped_and_counted(void)
{
	const struct message m[] = {{.len_bytes = 50, .seed = 1},
				    {.len_bytes = 50, .seed = 2},
				    {.len_bytes = 40, .seed = 3}};
	struct qx_source_rule deny = {.family = family,
				      .prefix_bits = family == QX_IPV4 ? 32 : 128};
	struct qx_datapath *strict;
	struct qx_addr strict_addr;
	struct qx_path there, to_hub;
	uint64_t denied = 0;

	open_pair((struct contract_options){0});
	memcpy(deny.ip, CLIENT_ADDR->ip, sizeof(deny.ip));
	strict = open_other(&deny);
	qx_local(strict, &strict_addr);
	there = path_to(&strict_addr);
	to_hub = path_to(HUB_ADDR);
	T_EQ(send_some(CLIENT, &there, m, 3), 3);
	for (int i = 0; denied < 3 && i < ROUNDS_WITHOUT_PROGRESS; i++) {
		pump();
		T_EQ(receive(strict), 0);
		qx_recv_done(strict, &batch);
		denied = stats_of(strict).drop[QX_DROP_DENIED];
	}
	T_EQ(denied, 3);
	T_EQ(stats_of(strict).lane[backend->lane].rx_packets, 0);
	/* The hub beside it has no such rule. */
	converse(CLIENT, &to_hub, pair.hub, m, 3, &any);
	T_EQ(stats_of(pair.hub).drop[QX_DROP_DENIED], 0);
	qx_close(strict);
}

#endif
