/* test_stream_state.c: what the application may ask about a stream, in every state of both of
 * its halves, against the states of RFC 9000 section 3. */
#include "frame.h"
#include "pair.h"

enum {
	W = QX_STREAM_MAY_WRITE,
	R = QX_STREAM_MAY_RECEIVE,
	U = QX_STREAM_UNDELIVERED,
	ID = 0 /* the client's */
};

static void server_fin(void)
{
	pair_write(SERVER, ID, 0, 5, true, false);
	pair_run(S_NS);
}

static void client_writes(void)
{
	pair_write(CLIENT, ID, 0, 5, false, false);
	pair_run(S_NS);
}

static void client_fin(void)
{
	pair_write(CLIENT, ID, 0, 5, true, false);
	pair_run(S_NS);
}

static void client_fin_not_acknowledged(void)
{
	net.cut[SERVER] = true;
	pair_write(CLIENT, ID, 0, 5, true, false);
	pair_flush(CLIENT);
}

static void client_resets(void)
{
	client_writes();
	T_EQ(qx_stream_reset(sides[CLIENT].c, ID, 1), 0);
}

static void client_reset_acknowledged(void)
{
	client_resets();
	pair_run(S_NS);
}

static void server_stops(void)
{
	client_writes();
	T_EQ(qx_stream_stop(sides[SERVER].c, ID, 1), 0);
	pair_flush(SERVER);
	pair_run(12 * MS_NS);
}

static void server_resets(void)
{
	client_writes();
	T_EQ(qx_stream_reset(sides[SERVER].c, ID, 1), 0);
	pair_run(S_NS);
}

static void client_stops(void)
{
	client_writes();
	T_EQ(qx_stream_stop(sides[CLIENT].c, ID, 1), 0);
}

static void server_fin_after_client_fin_not_acknowledged(void)
{
	client_fin_not_acknowledged();
	T_EQ(pair_inject(CLIENT, BYTES(FRAME_STREAM | 3, ID, 1, 0)), 1);
}

static void hole_before_the_end(void)
{
	client_writes();
	T_EQ(pair_inject(CLIENT, BYTES(FRAME_STREAM | 7, ID, 1, 1, 7)), 1);
}

static void both_over(void)
{
	client_fin();
	server_fin();
}

/* What the client may do and expect on its bidirectional stream ID. */
static const struct {
	const char *what;
	void (*happens)(void);
	uint32_t state;
	uint32_t undelivered;
	uint64_t unacknowledged;
} rows[] = {
	{"open", client_writes, W | R | U, 1, 0},
	{"FIN sent", client_fin_not_acknowledged, R | U, 1, 5},
	{"FIN acknowledged", client_fin, R, 0, 0},
	{"reset queued", client_resets, R | U, 1, 0},
	{"reset acknowledged", client_reset_acknowledged, R, 0, 0},
	{"stopped by the peer", server_stops, R | U, 1, 0},
	{"reset by the peer", server_resets, W | U, 1, 0},
	{"stopped by us", client_stops, W | R | U, 1, 0},
	{"the peer's end before a hole", hole_before_the_end, W | R | U, 1, 0},
	{"both ends, ours on the way", server_fin_after_client_fin_not_acknowledged, U, 1, 5},
	{"over", both_over, 0, 0, 0},
};

static void every_state_is_told(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct qx_conn *c;
		uint32_t state;

		pair_start(NULL);
		rows[i].happens();
		c = sides[CLIENT].c;
		state = qx_stream_state(c, ID);
		if (state != rows[i].state)
			T_FAIL("%s: %u, not %u", rows[i].what, state, rows[i].state);
		T_EQ(qx_conn_undelivered(c), rows[i].undelivered);
		T_EQ(qx_stream_unacknowledged(c, ID), rows[i].unacknowledged);
		/* It is not said in vain. */
		T_EQ(qx_stream_write(sides[CLIENT].c, ID, pattern, 1, 0, 0) == 0,
		     (state & W) != 0);
		pair_end();
	}
}

static void one_way_streams_have_one_half(void)
{
	pair_start(NULL);
	pair_write(CLIENT, 2, 0, 5, false, false);
	pair_write(SERVER, 3, 0, 5, false, false);
	pair_run(S_NS);
	T_EQ(qx_stream_state(sides[CLIENT].c, 2), W | U);
	T_EQ(qx_stream_state(sides[CLIENT].c, 3), R);
	T_EQ(qx_stream_state(sides[SERVER].c, 2), R);
	T_EQ(qx_stream_state(sides[SERVER].c, 3), W | U);
	/* A client's bidirectional streams are counted, no others. */
	T_EQ(qx_conn_undelivered(sides[CLIENT].c), 0);
	T_EQ(qx_stream_unacknowledged(sides[CLIENT].c, 3), 0);
	pair_end();
}

static void of_streams_that_are_not_nothing_is_told(void)
{
	static const uint64_t ids[] = {0, 1, 2, 3, 400, QX_VARINT_MAX, UINT64_MAX};

	pair_start(NULL);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		T_EQ(qx_stream_state(sides[CLIENT].c, ids[i]), 0);
		T_EQ(qx_stream_unacknowledged(sides[CLIENT].c, ids[i]), 0);
	}
	T_EQ(qx_conn_undelivered(sides[CLIENT].c), 0);
	pair_end();
}

static void undelivered_streams_are_counted(void)
{
	pair_start(NULL);
	net.cut[SERVER] = true;
	for (uint64_t id = 0; id < 40; id += 4)
		pair_write(CLIENT, id, 0, 5, id % 8 == 0, false);
	pair_flush(CLIENT);
	T_EQ(qx_conn_undelivered(sides[CLIENT].c), 10);
	net.cut[SERVER] = false;
	pair_run(2 * S_NS);
	/* Those that ended are acknowledged; the others may get more. */
	T_EQ(qx_conn_undelivered(sides[CLIENT].c), 5);
	T_EQ(qx_conn_undelivered(sides[SERVER].c), 10);
	pair_end();
}

static const struct t_case cases[] = {
	{"every state is told", every_state_is_told},
	{"one-way streams have one half", one_way_streams_have_one_half},
	{"of streams that are not, nothing is told", of_streams_that_are_not_nothing_is_told},
	{"undelivered streams are counted", undelivered_streams_are_counted},
};

T_MAIN(cases)
