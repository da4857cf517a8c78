/* hosts.h: two engines over the simulated link, each with any number of connections, whose
 * handshakes are done by hand. */
#ifndef QX_HOSTS_H
#define QX_HOSTS_H

#include <stdbool.h>

#include "engine.h"
#include "sim.h"

#define S_NS UINT64_C(1000000000)

enum {
	HOST_CLIENT = 0,
	HOST_SERVER = 1,
	HOST_CID_BYTES = 8,
	HOST_CONNS_MAX = 64,
	HOST_CHUNK_BYTES = 1 << 16
};

struct host_conn {
	struct qx_conn *c;
	uint64_t bytes;           /* received, on all streams */
	uint64_t stream_bytes[4]; /* by number of the peer's bidirectional streams */
	uint64_t turn_streams;    /* bit i: stream i has been told in this turn */
	uint64_t ups, datagrams_up, errors;
	uint8_t up_flags;
	bool fin;
};

struct host {
	struct qx_engine *e;
	struct host_conn conns[HOST_CONNS_MAX];
	uint64_t unknown_up; /* DATAGRAM_UP of no known connection */
	uint64_t events;
	uint8_t order[256]; /* event types of the last turns */
	uint32_t order_cnt;
};

static struct host hosts[2];
static uint64_t host_now_ns;
static uint8_t host_data[HOST_CHUNK_BYTES];
static const uint8_t host_secret[2][32] = {{1}, {2}};

static inline void host_cid(uint32_t host, uint32_t number, uint8_t *cid)
{
	memset(cid, 0x5a, HOST_CID_BYTES);
	cid[0] = (uint8_t)host;
	cid[7] = (uint8_t)number;
}

static inline struct qx_conn_config host_config(uint32_t host, uint32_t number)
{
	return (struct qx_conn_config){
		.id = number,
		.is_client = host == HOST_CLIENT,
		.cid_len_bytes = HOST_CID_BYTES,
		.max_datagram_bytes = 1350,
		.max_data_bytes = 1 << 22,
		.max_stream_data_bytes = 1 << 20,
		.max_streams_bidi = 100,
		.max_streams_uni = 100,
		.ack_delay_ns = MS_NS,
		.initial_rtt_ns = 20 * MS_NS,
	};
}

static inline void host_set_keys(uint32_t host, uint32_t number)
{
	struct qx_conn *c = hosts[host].conns[number].c;

	for (uint32_t sending = 0; sending < 2; sending++)
		T_EQ(qx_conn_set_secret(c, QX_EPOCH_ONE_RTT, sending, QX_AES_128_GCM_SHA256,
					1, host_secret[sending ? host : 1 - host], 32),
		     0);
	qx_conn_set_complete(c, host_now_ns);
	qx_conn_set_confirmed(c, 0, host_now_ns);
}

static inline void host_open(uint32_t host, uint32_t number, uint32_t flags)
{
	struct host_conn *h = &hosts[host].conns[number];
	struct qx_conn_config cfg = host_config(host, number);
	const struct qx_peer_limits limits = {
		.max_data = cfg.max_data_bytes,
		.max_stream_data_bidi_local = cfg.max_stream_data_bytes,
		.max_stream_data_bidi_remote = cfg.max_stream_data_bytes,
		.max_stream_data_uni = cfg.max_stream_data_bytes,
		.max_streams_bidi = cfg.max_streams_bidi,
		.max_streams_uni = cfg.max_streams_uni,
		.max_ack_delay_ns = cfg.ack_delay_ns,
		.ack_delay_exponent = 3,
	};
	const struct qx_path path = {.peer = addrs[1 - host]};
	uint8_t cid[HOST_CID_BYTES];

	memset(h, 0, sizeof(*h));
	cfg.flags = flags;
	T_EQ(qx_conn_open(&h->c, hosts[host].e, &cfg), 0);
	host_cid(host, number, cid);
	T_EQ(qx_conn_add_cid(h->c, cid, sizeof(cid)), 0);
	qx_conn_set_host_cid(h->c, cid, sizeof(cid));
	host_cid(1 - host, number, cid);
	T_EQ(qx_conn_set_peer_cid(h->c, cid, sizeof(cid)), 0);
	qx_conn_set_peer_limits(h->c, &limits);
	qx_conn_set_path(h->c, &path);
}

static inline void hosts_close(void)
{
	for (uint32_t host = 0; host < 2; host++) {
		for (uint32_t i = 0; i < HOST_CONNS_MAX; i++)
			if (hosts[host].conns[i].c)
				qx_conn_close(hosts[host].conns[i].c);
		qx_engine_close(hosts[host].e);
		memset(&hosts[host], 0, sizeof(hosts[host]));
	}
	sim_close();
}

/* hosts_open joins conn_cnt pairs of connections with keys. */
static inline void hosts_open(struct qx_link_config link, uint32_t conn_cnt, uint32_t flags)
{
	hosts_close(); /* of a test that failed */
	for (size_t i = 0; i < sizeof(host_data); i++)
		host_data[i] = (uint8_t)(i * 13 + i / 256);
	host_now_ns = S_NS;
	sim_open(link, QX_IPV4);
	for (uint32_t host = 0; host < 2; host++) {
		T_EQ(qx_engine_open(&hosts[host].e, ends[host], HOST_CID_BYTES), 0);
		for (uint32_t i = 0; i < conn_cnt; i++) {
			host_open(host, i, flags);
			host_set_keys(host, i);
		}
	}
}

static inline void host_on_data(struct host_conn *h, const struct qx_event *ev)
{
	const uint64_t stream = ev->stream_id / 4 % 4;

	/* At most one per stream and turn. */
	T_CHECK(!(h->turn_streams & UINT64_C(1) << stream));
	h->turn_streams |= UINT64_C(1) << stream;
	for (uint32_t i = 0; i < ev->len_bytes; i++)
		if (ev->data[i] !=
		    host_data[(h->stream_bytes[stream] + i) % HOST_CHUNK_BYTES])
			T_FAIL("stream %u is wrong at %u", (unsigned)ev->stream_id, i);
	h->stream_bytes[stream] += ev->len_bytes;
	h->bytes += ev->len_bytes;
	h->fin |= (ev->flags & QX_EV_FIN) != 0;
}

static inline void host_on_event(struct host *h, const struct qx_event *ev)
{
	struct host_conn *c = ev->conn < HOST_CONNS_MAX ? &h->conns[ev->conn] : NULL;

	h->events++;
	h->order[h->order_cnt++ % sizeof(h->order)] = ev->type;
	switch (ev->type) {
	case QX_EV_STREAM_DATA:
		host_on_data(c, ev);
		break;
	case QX_EV_UPCALL:
		c->ups++;
		c->up_flags = ev->flags;
		break;
	case QX_EV_DATAGRAM_UP:
		if (c)
			c->datagrams_up++;
		else
			h->unknown_up++;
		break;
	case QX_EV_ERROR:
		c->errors++;
		break;
	default:
		break;
	}
}

static inline void host_hear(struct host *h)
{
	const struct qx_event *events;
	const uint32_t n = qx_engine_events(h->e, &events, NULL);

	for (uint32_t i = 0; i < HOST_CONNS_MAX; i++)
		h->conns[i].turn_streams = 0;
	for (uint32_t i = 0; i < n; i++)
		host_on_event(h, &events[i]);
	qx_engine_events_done(h->e);
}

/* One turn of one host, as the reactor does it.  Returns 1 if something had to stay. */
static inline int host_turn(uint32_t host)
{
	struct host *h = &hosts[host];
	int flags;

	do {
		flags = qx_engine_turn(h->e, host_now_ns, QX_NEVER_NS);
		T_CHECK(flags >= 0);
		if (flags & QX_TURN_EVENTS) {
			host_hear(h);
			flags |= qx_engine_finish(h->e, host_now_ns, QX_NEVER_NS);
		}
	} while (flags & QX_TURN_MORE);
	return (flags & QX_TURN_STAYED) != 0;
}

/* hosts_run lets time pass: link and deadlines say when there is anything to do. */
static inline void hosts_run(uint64_t for_ns)
{
	const uint64_t until_ns = host_now_ns + for_ns;
	uint32_t still = 0;

	while (host_now_ns < until_ns) {
		uint64_t next_ns;
		bool stayed = false;

		next_ns = qx_link_advance(link_, host_now_ns);
		for (uint32_t host = 0; host < 2; host++)
			stayed |= host_turn(host) > 0;
		next_ns = qx_link_advance(link_, host_now_ns);
		for (uint32_t host = 0; host < 2; host++)
			if (qx_engine_deadline(hosts[host].e) < next_ns)
				next_ns = qx_engine_deadline(hosts[host].e);
		if (stayed && next_ns > host_now_ns + MS_NS)
			next_ns = host_now_ns + MS_NS;
		if (next_ns > until_ns)
			next_ns = until_ns;
		still = next_ns > host_now_ns ? 0 : still + 1;
		if (still > 100)
			T_FAIL("time stands still at %llu ns",
			       (unsigned long long)host_now_ns);
		if (next_ns > host_now_ns)
			host_now_ns = next_ns;
	}
}

static inline void host_write(uint32_t host, uint32_t number, uint64_t id, uint64_t bytes)
{
	while (bytes > 0) {
		const uint32_t n =
			bytes < HOST_CHUNK_BYTES ? (uint32_t)bytes : HOST_CHUNK_BYTES;

		/* Held: host_data outlives everything. */
		T_EQ(qx_stream_write(hosts[host].conns[number].c, id, host_data, n,
				     n == bytes, 1),
		     0);
		bytes -= n;
	}
}

static inline struct qx_conn_stats host_stats(uint32_t host, uint32_t number)
{
	struct qx_conn_stats st;

	qx_conn_get_stats(hosts[host].conns[number].c, &st);
	return st;
}

#endif
