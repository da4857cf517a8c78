/* frame.h: frame types of RFC 9000 section 19 and 9221: who owns which, and how long each
 * is, since frames are not self-delimiting. */
#ifndef QX_FRAME_H
#define QX_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "varint.h"

enum frame_type {
	FRAME_PADDING = 0x00,
	FRAME_PING = 0x01,
	FRAME_ACK = 0x02,
	FRAME_ACK_ECN = 0x03,
	FRAME_RESET_STREAM = 0x04,
	FRAME_STOP_SENDING = 0x05,
	FRAME_CRYPTO = 0x06,
	FRAME_NEW_TOKEN = 0x07,
	FRAME_STREAM = 0x08,
	FRAME_STREAM_LAST = 0x0f,
	FRAME_MAX_DATA = 0x10,
	FRAME_MAX_STREAM_DATA = 0x11,
	FRAME_MAX_STREAMS_BIDI = 0x12,
	FRAME_MAX_STREAMS_UNI = 0x13,
	FRAME_DATA_BLOCKED = 0x14,
	FRAME_STREAM_DATA_BLOCKED = 0x15,
	FRAME_STREAMS_BLOCKED_BIDI = 0x16,
	FRAME_STREAMS_BLOCKED_UNI = 0x17,
	FRAME_NEW_CONNECTION_ID = 0x18,
	FRAME_RETIRE_CONNECTION_ID = 0x19,
	FRAME_PATH_CHALLENGE = 0x1a,
	FRAME_PATH_RESPONSE = 0x1b,
	FRAME_CONNECTION_CLOSE = 0x1c,
	FRAME_APPLICATION_CLOSE = 0x1d,
	FRAME_HANDSHAKE_DONE = 0x1e,
	FRAME_DATAGRAM = 0x30,
	FRAME_DATAGRAM_LEN = 0x31
};

enum frame_owner {
	FRAME_UNKNOWN = 0,
	FRAME_OURS,
	FRAME_AIOQUICS
};

struct frame_rule {
	uint8_t owner;  /* enum frame_owner */
	bool eliciting; /* RFC 9000 section 13.2.1 */
	bool probing;   /* section 9.1 */
	bool zero_rtt;  /* allowed in 0-RTT packets, table 3 */
};

/* frame_rule for any type number; unknown types give FRAME_UNKNOWN. */
struct frame_rule frame_rule(uint64_t type);
/* frame_skip moves r behind a frame of aioquic's, whose type has been read.  r->failed if
 * it is truncated. */
void frame_skip(struct reader *r, uint64_t type);

#endif
