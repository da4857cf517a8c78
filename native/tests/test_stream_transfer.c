/* test_stream_transfer.c: a sending and a receiving half over a bad network deliver what was
 * written, byte for byte, and every held buffer comes back once. */
#include "stream.h"
#include "stream_memory.h"

enum {
	TOTAL = 100000,
	UNDER_WAY = 64,
	WINDOW = 8192
};

struct flight {
	bool used;
	struct send_piece piece;
	uint8_t data[400];
};

static struct send_stream tx;
static struct recv_stream rx;
static struct flight flights[UNDER_WAY];
static uint8_t source[TOTAL], got[TOTAL];
static uint64_t seed, got_len, conn_limit, conn_sent;
static bool got_fin;

static uint64_t dice(uint64_t sides)
{
	return t_random(&seed) % sides;
}

static void write_some(uint64_t *token)
{
	uint64_t len = dice(4) ? dice(300) : dice(3000);
	bool last;

	if (len > TOTAL - tx.written)
		len = TOTAL - tx.written;
	last = tx.written + len == TOTAL && dice(2);
	if (tx.written == TOTAL && !last)
		return;
	T_EQ(send_stream_write(&tx, &test_env, source + tx.written, (uint32_t)len, last,
			       dice(2) && *token < TOKENS_MAX - 1 ? ++*token : 0),
	     0);
}

static void send_one(struct flight *f)
{
	const uint64_t room = 1 + dice(dice(2) ? 400 : 20);

	if (!send_stream_peek(&tx, conn_limit - conn_sent, &f->piece))
		return;
	if (f->piece.len_bytes > room) {
		f->piece.len_bytes = room;
		f->piece.fin = false;
	}
	send_stream_take(&tx, &f->piece, f->data);
	if (f->piece.is_new)
		conn_sent += f->piece.len_bytes;
	T_CHECK(conn_sent <= conn_limit && tx.next <= tx.limit);
	f->used = true;
}

static void deliver(const struct flight *f)
{
	const struct send_piece *p = &f->piece;
	const uint64_t end = p->off + p->len_bytes;

	if (end > rx.flow.received)
		T_CHECK(flow_received(&rx.flow, end - rx.flow.received));
	T_EQ(recv_stream_data(&rx, &test_bufs, p->off, f->data, (uint32_t)p->len_bytes,
			      p->fin),
	     0);
}

static void read_some(void)
{
	const uint8_t *data;
	bool fin, announce;
	uint32_t len = recv_stream_readable(&rx, &data, &fin);

	T_CHECK(got_len + len <= TOTAL && !(got_fin && (len || fin)));
	if (len > 0)
		memcpy(got + got_len, data, len);
	got_len += len;
	got_fin |= fin;
	recv_stream_did_read(&rx, len, fin);
	recv_stream_consume(&rx, dice(2) ? len : WINDOW, 0, 0, &announce);
	if (dice(2))
		recv_stream_settle(&rx, &test_bufs);
	T_CHECK(rx.buf_cap_bytes <= 4 * WINDOW + (2 << BUFS_MIN_SHIFT));
}

/* Fates come in any order, may come after delivery or without, and may be wrong about a
 * loss, as they are on a real path. */
static void step_one(uint64_t *token)
{
	struct flight *f = &flights[dice(UNDER_WAY)];

	switch (dice(8)) {
	case 0:
		if (!tx.fin)
			write_some(token);
		break;
	case 1:
		read_some();
		break;
	case 2:
		/* Limits reach the sender some time. */
		rx.flow.limit_sent = rx.flow.limit;
		if (tx.limit < rx.flow.limit_sent)
			tx.limit = rx.flow.limit_sent;
		conn_limit += dice(1000);
		break;
	case 3:
	case 4:
		if (!f->used)
			break;
		deliver(f);
		if (dice(8) == 0) /* duplicated */
			break;
		if (dice(10) == 0) {
			/* The ACK was late, and so, sometimes, is that of the packet. */
			send_stream_lost(&tx, f->piece.off, f->piece.len_bytes, f->piece.fin);
			if (dice(2))
				break;
		}
		send_stream_acked(&tx, &test_env, f->piece.off, f->piece.len_bytes,
				  f->piece.fin);
		f->used = false;
		break;
	case 5:
		if (f->used && dice(2)) {
			send_stream_lost(&tx, f->piece.off, f->piece.len_bytes, f->piece.fin);
			f->used = false;
		}
		break;
	default:
		if (!f->used)
			send_one(f);
	}
}

static void run(uint64_t with_seed)
{
	uint64_t token = 0, steps = 0;

	seed = with_seed;
	memory_begin();
	memset(flights, 0, sizeof(flights));
	got_len = conn_sent = 0;
	got_fin = false;
	conn_limit = 1000;
	send_stream_init(&tx, WINDOW);
	recv_stream_init(&rx, WINDOW, WINDOW);
	while (!send_stream_over(&tx) || !recv_stream_over(&rx)) {
		step_one(&token);
		if (++steps > 3000000)
			T_FAIL("seed %#llx does not end", (unsigned long long)with_seed);
	}
	if (got_len != TOTAL || memcmp(got, source, TOTAL) != 0 || !got_fin)
		T_FAIL("seed %#llx delivers something else", (unsigned long long)with_seed);
	T_EQ(tokens_cnt, token);
	for (uint64_t i = 1; i <= token; i++)
		T_EQ(tokens_released[i], 1);
	send_stream_free(&tx, &test_env);
	recv_stream_free(&rx, &test_bufs);
	T_EQ(tokens_cnt, token);
	memory_end();
}

static void what_is_written_is_what_arrives(void)
{
	const uint64_t first = 0xe3000001;

	bytes_at(source, 0, TOTAL);
	printf("  seeds %#llx and the 149 that follow\n", (unsigned long long)first);
	for (uint64_t i = 0; i < 150; i++)
		run(first + i);
}

static const struct t_case cases[] = {
	{"what is written is what arrives", what_is_written_is_what_arrives},
};
T_MAIN(cases)
