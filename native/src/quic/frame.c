/* frame.c: the table of frame types (RFC 9000 table 3, RFC 9221 section 4) and the layouts of
 * those that are passed up.
 *
 * The engine parses its own frames where it handles them; of aioquic's it only needs to know
 * where they end. */
#include "frame.h"

/* Fields of a frame behind its type, one byte each; a layout ends with END. */
enum field {
	END = 0,
	VARINT,
	LENGTH_AND_BYTES,  /* a varint, and as many bytes */
	LENGTH8_AND_BYTES, /* one byte, and as many bytes */
	BYTES_8,
	BYTES_16
};

enum {
	FIELDS_MAX = 4,
	TYPE_CNT = FRAME_DATAGRAM_LEN + 1
};

struct row {
	struct frame_rule rule;
	uint8_t layout[FIELDS_MAX]; /* aioquic's frames only */
};

#define ELICITING true
#define SILENT false
#define PROBING true
#define ORDINARY false
#define ZERO_RTT true
#define ONE_RTT false

#define OURS(eliciting, probing, zero_rtt)                                                   \
	{                                                                                    \
		{FRAME_OURS, eliciting, probing, zero_rtt},                                  \
		{                                                                            \
			END                                                                  \
		}                                                                            \
	}
#define UP(eliciting, probing, zero_rtt, ...)                                                \
	{                                                                                    \
		{FRAME_AIOQUICS, eliciting, probing, zero_rtt},                              \
		{                                                                            \
			__VA_ARGS__                                                          \
		}                                                                            \
	}

/* RETIRE_CONNECTION_ID stands in table 3 as allowed in 0-RTT, though section 12.5 says that
 * it cannot occur there; refusing it is optional, and aioquic knows better whether it has
 * issued that connection ID. */
static const struct row rows[TYPE_CNT] = {
	[FRAME_PADDING] = OURS(SILENT, PROBING, ZERO_RTT),
	[FRAME_PING] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_ACK] = OURS(SILENT, ORDINARY, ONE_RTT),
	[FRAME_ACK_ECN] = OURS(SILENT, ORDINARY, ONE_RTT),
	[FRAME_RESET_STREAM] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_STOP_SENDING] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_CRYPTO] = UP(ELICITING, ORDINARY, ONE_RTT, VARINT, LENGTH_AND_BYTES),
	[FRAME_NEW_TOKEN] = UP(ELICITING, ORDINARY, ONE_RTT, LENGTH_AND_BYTES),
	[FRAME_STREAM... FRAME_STREAM_LAST] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_MAX_DATA] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_MAX_STREAM_DATA] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_MAX_STREAMS_BIDI] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_MAX_STREAMS_UNI] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_DATA_BLOCKED] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_STREAM_DATA_BLOCKED] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_STREAMS_BLOCKED_BIDI] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_STREAMS_BLOCKED_UNI] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_NEW_CONNECTION_ID] =
		UP(ELICITING, PROBING, ZERO_RTT, VARINT, VARINT, LENGTH8_AND_BYTES, BYTES_16),
	[FRAME_RETIRE_CONNECTION_ID] = UP(ELICITING, ORDINARY, ZERO_RTT, VARINT),
	[FRAME_PATH_CHALLENGE] = UP(ELICITING, PROBING, ZERO_RTT, BYTES_8),
	[FRAME_PATH_RESPONSE] = UP(ELICITING, PROBING, ONE_RTT, BYTES_8),
	[FRAME_CONNECTION_CLOSE] =
		UP(SILENT, ORDINARY, ZERO_RTT, VARINT, VARINT, LENGTH_AND_BYTES),
	[FRAME_APPLICATION_CLOSE] = UP(SILENT, ORDINARY, ZERO_RTT, VARINT, LENGTH_AND_BYTES),
	[FRAME_HANDSHAKE_DONE] = UP(ELICITING, ORDINARY, ONE_RTT, END),
	[FRAME_DATAGRAM] = OURS(ELICITING, ORDINARY, ZERO_RTT),
	[FRAME_DATAGRAM_LEN] = OURS(ELICITING, ORDINARY, ZERO_RTT),
};

struct frame_rule frame_rule(uint64_t type)
{
	if (type >= TYPE_CNT)
		return (struct frame_rule){.owner = FRAME_UNKNOWN};
	return rows[type].rule;
}

static void skip_field(struct reader *r, enum field field)
{
	const uint8_t *length;

	switch (field) {
	case END:
		break;
	case VARINT:
		read_varint(r);
		break;
	case LENGTH_AND_BYTES:
		read_bytes(r, read_varint(r));
		break;
	case LENGTH8_AND_BYTES:
		length = read_bytes(r, 1);
		if (length)
			read_bytes(r, *length);
		break;
	case BYTES_8:
		read_bytes(r, 8);
		break;
	case BYTES_16:
		read_bytes(r, 16);
		break;
	}
}

void frame_skip(struct reader *r, uint64_t type)
{
	if (frame_rule(type).owner != FRAME_AIOQUICS) {
		r->failed = true;
		return;
	}
	for (uint32_t i = 0; i < FIELDS_MAX && rows[type].layout[i] != END; i++)
		skip_field(r, (enum field)rows[type].layout[i]);
}
