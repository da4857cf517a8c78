/* app.c: what the application does with streams and datagrams. */
#include <errno.h>

#include "engine.h"
#include "varint.h"

uint64_t qx_conn_next_stream_id(const struct qx_conn *c, uint32_t unidirectional)
{
	return streams_next_id(&c->streams, unidirectional ? KIND_UNI : KIND_BIDI);
}

int qx_stream_write(struct qx_conn *c, uint64_t stream_id, const uint8_t *data,
		    uint32_t len_bytes, uint32_t fin, uint64_t token)
{
	int err = token ? engine_promise(c) : 0;

	if (err < 0)
		return err;
	err = streams_write(&c->streams, stream_id, data, len_bytes, fin != 0, token);
	if (err == 0)
		engine_dirty(c);
	else if (token)
		engine_unpromise(c, 1);
	return err;
}

int qx_stream_reset(struct qx_conn *c, uint64_t stream_id, uint64_t error_code)
{
	const int err = streams_reset(&c->streams, stream_id, error_code);

	if (err == 0)
		engine_dirty(c);
	return err;
}

int qx_stream_stop(struct qx_conn *c, uint64_t stream_id, uint64_t error_code)
{
	const int err = streams_stop(&c->streams, stream_id, error_code);

	if (err == 0)
		engine_dirty(c);
	return err;
}

void qx_conn_set_manual_consume(struct qx_conn *c, uint32_t manual)
{
	c->streams.manual_consume = manual != 0;
}

void qx_conn_set_window_max(struct qx_conn *c, uint64_t window_max_bytes)
{
	c->streams.window_max_bytes = window_max_bytes;
}

int qx_stream_consume(struct qx_conn *c, uint64_t stream_id, uint64_t len_bytes)
{
	const int err = streams_consume(&c->streams, stream_id, len_bytes,
					c->recovery.rtt.smoothed_ns, c->last_open_ns);

	/* Only if there is something to announce or to forget: this is called for each read. */
	if (err == 0 && (c->streams.over.head || streams_have_work(&c->streams, c->complete)))
		engine_dirty(c);
	return err;
}

uint64_t qx_stream_buffered(const struct qx_conn *c, uint64_t stream_id)
{
	return streams_buffered(&c->streams, stream_id);
}

int qx_stream_set_low_mark(struct qx_conn *c, uint64_t stream_id, uint64_t low_bytes)
{
	return streams_set_low_mark(&c->streams, stream_id, low_bytes);
}

int qx_conn_send_datagram(struct qx_conn *c, const uint8_t *data, uint32_t len_bytes)
{
	const uint32_t overhead_bytes = 1u + c->peer_cid_len + PACKET_NUMBER_MIN_BYTES +
					PROTECT_TAG_BYTES + 1 + varint_bytes(len_bytes);
	int err;

	if (len_bytes > c->datagram_max_bytes - overhead_bytes)
		return -EMSGSIZE;
	if (c->datagrams.bytes + len_bytes > DATAGRAM_QUEUE_MAX_BYTES)
		return -ENOBUFS;
	err = frame_queue_push(&c->datagrams, &c->engine->frames, data, len_bytes, 0, 0);
	if (err == 0)
		engine_dirty(c);
	return err;
}
