/* test_streams_faults.c: memory that runs out anywhere costs the connection at most, never a
 * byte, a token or a block. */
#include "faults.h"

#include <errno.h>

#include "streams_side.h"

enum {
	STREAMS = 24,
	STREAM_BYTES = 6000,
	BATCH = 16
};

struct packet {
	uint32_t len;
	uint8_t bytes[PACKET_BYTES];
};

static struct side tx, rx;
static uint8_t text[STREAM_BYTES];
static uint64_t told[STREAMS];
static uint32_t fins;

/* A run ends early with an INTERNAL_ERROR, which closes a connection. */
static bool failed;

static void write_every_second(uint32_t first)
{
	for (uint32_t i = first; i < STREAMS; i += 2)
		for (uint32_t off = 0; off < STREAM_BYTES; off += STREAM_BYTES / 4) {
			const uint64_t token = i % 2 ? 1 + i * 4 + off * 4 / STREAM_BYTES : 0;
			const bool fin = off + STREAM_BYTES / 4 == STREAM_BYTES;
			int err;

			/* The next try finds memory; nothing of this one may be left. */
			do {
				err = streams_write(&tx.s, i * 4 + 2, text + off,
						    STREAM_BYTES / 4, fin, token);
				T_CHECK(err == 0 || err == -ENOMEM);
			} while (err < 0);
		}
}

static uint32_t write_packet(uint8_t *out)
{
	struct sent_packet *p = sent_begin(&tx.sent);
	uint8_t *end;

	if (!p)
		return 0;
	end = streams_write_frames(&tx.s, &tx.sent, p, out, out + PACKET_BYTES, true);
	if (end > out)
		sent_end(&tx.sent, p, 0, (uint32_t)(end - out), SENT_ELICITING);
	return (uint32_t)(end - out);
}

static void deliver(const struct packet *packet)
{
	struct reader r = {packet->bytes, packet->bytes + packet->len, false};
	struct got_frame f;
	bool stopped;

	while (!failed && next_frame(&r, &f)) {
		const uint64_t err = side_frame(&rx, &f, &stopped);

		T_CHECK(err == 0 || err == STREAM_ERR_INTERNAL);
		failed = err != 0;
	}
}

static void read_news(void)
{
	struct stream_news n;

	while (streams_news(&rx.s, &n, 0, 0)) {
		const uint64_t i = n.id / 4;

		T_CHECK(told[i] + n.len_bytes <= STREAM_BYTES);
		if (n.len_bytes > 0)
			T_CHECK(memcmp(n.data, text + told[i], n.len_bytes) == 0);
		told[i] += n.len_bytes;
		if (n.fin)
			T_EQ(told[i], STREAM_BYTES);
		fins += n.fin;
	}
	streams_reap(&rx.s);
	streams_settle(&rx.s);
}

/* Batches arrive backwards, and of five packets the last is lost. */
static void transfer(uint32_t until_fins)
{
	static struct packet batch[BATCH];
	uint32_t idle = 0;

	while (!failed && fins < until_fins) {
		const uint64_t from = tx.sent.next;
		uint32_t cnt = 0;

		while (cnt < BATCH && (batch[cnt].len = write_packet(batch[cnt].bytes)))
			cnt++;
		/* One call may find no memory; the next must go on. */
		idle = cnt ? 0 : idle + 1;
		T_CHECK(idle < 3);
		for (uint32_t i = cnt; i-- > 0;)
			if (i % 5 != 4)
				deliver(&batch[i]);
		for (uint32_t i = cnt; i-- > 0;)
			side_fate(&tx, from + i, i % 5 != 4);
		read_news();
		streams_reap(&tx.s);
	}
}

static void run(uint32_t fault_at)
{
	failed = false;
	fins = 0;
	memset(told, 0, sizeof(told));
	side_open(&tx, side_config, true);
	side_open(&rx, side_config, false);
	streams_set_peer_limits(&tx.s, &side_limits);
	faults_calls = 0;
	faults_at = fault_at;
	/* Every second stream is over before the others begin: ranges of closed ones. */
	write_every_second(1);
	transfer(STREAMS / 2);
	write_every_second(0);
	transfer(STREAMS);
	faults_at = 0;
	if (!failed) {
		T_EQ(fins, STREAMS);
		streams_reap(&tx.s);
		streams_reap(&rx.s); /* what had no memory to be forgotten */
		T_EQ(tx.gone_cnt, STREAMS);
		T_EQ(rx.gone_cnt, STREAMS);
		T_EQ(tx.s.unsent_bytes, 0);
		for (uint64_t i = 0; i < STREAMS; i++)
			T_CHECK(streams_forgotten(&rx.s, i * 4 + 2));
	}
	side_close(&tx);
	side_close(&rx);
	for (uint32_t i = 0; i < STREAMS; i++)
		for (uint32_t part = 0; part < 4; part++)
			T_EQ(tokens_released[1 + i * 4 + part], i % 2);
}

static void memory_may_run_out_anywhere(void)
{
	uint32_t errors = 0, runs = 0;

	bytes_at(text, 0, sizeof(text));
	do {
		run(++runs);
		errors += failed;
	} while (faults_calls >= runs);
	printf("  %u calls failed in turn, %u of them closed the connection\n", runs - 1,
	       errors);
	T_CHECK(runs > 50 && errors > 0 && errors < runs - 1);
}

static const struct t_case cases[] = {
	{"memory may run out anywhere", memory_may_run_out_anywhere},
};
T_MAIN(cases)
