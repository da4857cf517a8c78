/* frame_layouts.h: what aioquic's frames look like, told a second time for the tests of
 * frame.c: one letter per field, as RFC 9000 section 19 lists them.
 *
 * v varint, b varint length and bytes, c one-byte length and bytes, 8 and t: 8 and 16 bytes. */
#ifndef QX_FRAME_LAYOUTS_H
#define QX_FRAME_LAYOUTS_H

#include <stddef.h>
#include <stdint.h>

static inline const char *frame_layout(uint64_t type)
{
	switch (type) {
	case 0x06:
		return "vb"; /* CRYPTO: offset, data */
	case 0x07:
		return "b"; /* NEW_TOKEN: token */
	case 0x18:
		return "vvct"; /* NEW_CONNECTION_ID: sequence, retire prior to, ID, token */
	case 0x19:
		return "v"; /* RETIRE_CONNECTION_ID: sequence */
	case 0x1a:
	case 0x1b:
		return "8"; /* PATH_CHALLENGE, PATH_RESPONSE */
	case 0x1c:
		return "vvb"; /* CONNECTION_CLOSE: code, frame type, reason */
	case 0x1d:
		return "vb"; /* the application's: code, reason */
	case 0x1e:
		return ""; /* HANDSHAKE_DONE */
	default:
		return NULL;
	}
}

#endif
