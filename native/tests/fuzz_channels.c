/* fuzz_channels.c: any bytes as genetlink messages about families and channels.
 *
 * Invariant.  For every input: only it is read (the address sanitizer watches), a number of
 * queues is never the one that means "lost", and nothing says nothing. */
#include <stdlib.h>

#include "channel_messages.h"
#include "channels_netlink.h"

enum {
	INPUT_MAX_BYTES = 8192
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct channels_group g;
	uint8_t *bytes;

	if (size > INPUT_MAX_BYTES)
		return 0;
	/* Exactly as long as the input, so that one byte too many is seen. */
	bytes = malloc(size ? size : 1);
	if (!bytes)
		abort();
	memcpy(bytes, data, size);
	channels_parse_group(bytes, (uint32_t)size, &g);
	if (size == 0 && (g.group || g.family))
		abort();
	if (channels_parse(bytes, (uint32_t)size, ETHTOOL_FAMILY, MSG_IFINDEX) ==
	    CHANNELS_LOST)
		abort();
	free(bytes);
	return 0;
}
