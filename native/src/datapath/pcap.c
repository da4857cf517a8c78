/* pcap.c: see pcap.h. */
#include "pcap.h"

#include <string.h>

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_COUNTERS = 5,
	BLOCK_PACKET = 6,
	BLOCK_SECRETS = 10,

	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	SECRETS_TLS_KEY_LOG = 0x544c534b,

	OPTION_COMMENT = 1, /* of any block */
	OPTION_APPLICATION = 4,
	OPTION_INTERFACE_NAME = 2,
	OPTION_TIME_RESOLUTION = 9,
	OPTION_PACKET_FLAGS = 2,
	OPTION_RECEIVED = 4,
	OPTION_DROPPED = 5,

	FLAG_INBOUND = 1,
	FLAG_OUTBOUND = 2,
	RESOLUTION_NS = 9, /* ten to the minus */
	OPTION_HEAD_BYTES = 4
};

static const char application[] = "quicxdp";

static uint32_t padded(uint32_t len_bytes)
{
	return (len_bytes + 3) & ~3u;
}

static uint32_t text_bytes(const char *text, uint32_t max_bytes)
{
	return text ? (uint32_t)strnlen(text, max_bytes) : 0;
}

/* ---- Pieces ---- */

static uint8_t *put16(uint8_t *at, uint32_t value)
{
	uint16_t v = (uint16_t)value;

	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

/* Times come with their upper half first. */
static uint8_t *put_time(uint8_t *at, uint64_t time_ns)
{
	return put32(put32(at, (uint32_t)(time_ns >> 32)), (uint32_t)time_ns);
}

static uint8_t *put_padding(uint8_t *at, uint32_t after_bytes)
{
	uint32_t cnt = padded(after_bytes) - after_bytes;

	memset(at, 0, cnt);
	return at + cnt;
}

static uint8_t *put_option(uint8_t *at, uint32_t code, const void *value, uint32_t len_bytes)
{
	at = put16(put16(at, code), len_bytes);
	memcpy(at, value, len_bytes);
	return put_padding(at + len_bytes, len_bytes);
}

/* The length stands at both ends of a block. */
static uint32_t finish(uint8_t *out, uint8_t *at)
{
	uint32_t len_bytes = (uint32_t)(at - out) + 4;

	put32(at, len_bytes);
	put32(out + 4, len_bytes);
	return len_bytes;
}

static uint32_t finish_options(uint8_t *out, uint8_t *at)
{
	return finish(out, put32(at, 0));
}

/* ---- Blocks ---- */

uint32_t pcap_section(uint8_t *out)
{
	uint8_t *at = put32(put32(out, BLOCK_SECTION), 0);

	at = put32(at, BYTE_ORDER_MAGIC);
	at = put16(put16(at, 1), 0);                   /* version 1.0 */
	at = put32(put32(at, UINT32_MAX), UINT32_MAX); /* length not told */
	at = put_option(at, OPTION_APPLICATION, application, sizeof(application) - 1);
	return finish_options(out, at);
}

uint32_t pcap_interface(uint8_t *out, uint16_t link_type, const char *name)
{
	const uint8_t resolution = RESOLUTION_NS;
	uint8_t *at = put32(put32(out, BLOCK_INTERFACE), 0);

	at = put16(put16(at, link_type), 0);
	at = put32(at, 0); /* packets are never cut */
	at = put_option(at, OPTION_INTERFACE_NAME, name,
			text_bytes(name, PCAP_NAME_MAX_BYTES));
	at = put_option(at, OPTION_TIME_RESOLUTION, &resolution, sizeof(resolution));
	return finish_options(out, at);
}

uint32_t pcap_packet_bytes(uint32_t len_bytes, const char *comment)
{
	uint32_t comment_bytes = text_bytes(comment, PCAP_COMMENT_MAX_BYTES);

	return PCAP_PACKET_HEAD_BYTES + padded(len_bytes) + OPTION_HEAD_BYTES + 4 +
	       (comment_bytes ? OPTION_HEAD_BYTES + padded(comment_bytes) : 0) + 8;
}

uint32_t pcap_packet_end(uint8_t *out, const struct pcap_packet *p)
{
	uint32_t comment_bytes = text_bytes(p->comment, PCAP_COMMENT_MAX_BYTES);
	uint32_t flags = p->outgoing ? FLAG_OUTBOUND : FLAG_INBOUND;
	uint8_t *at = put32(put32(out, BLOCK_PACKET), 0);

	at = put_time(put32(at, p->interface), p->time_ns);
	at = put32(put32(at, p->len_bytes), p->original_bytes);
	at = put_padding(at + p->len_bytes, p->len_bytes);
	at = put_option(at, OPTION_PACKET_FLAGS, &flags, sizeof(flags));
	if (comment_bytes)
		at = put_option(at, OPTION_COMMENT, p->comment, comment_bytes);
	return finish_options(out, at);
}

uint32_t pcap_counters(uint8_t *out, uint32_t interface, uint64_t time_ns, uint64_t received,
		       uint64_t dropped)
{
	uint8_t *at = put32(put32(out, BLOCK_COUNTERS), 0);

	at = put_time(put32(at, interface), time_ns);
	at = put_option(at, OPTION_RECEIVED, &received, sizeof(received));
	at = put_option(at, OPTION_DROPPED, &dropped, sizeof(dropped));
	return finish_options(out, at);
}

uint32_t pcap_secrets(uint8_t *out, uint32_t room_bytes)
{
	uint8_t *at = put32(put32(out, BLOCK_SECRETS), 0);

	at = put32(put32(at, SECRETS_TLS_KEY_LOG), room_bytes);
	memset(at, ' ', room_bytes);
	at[0] = '#';
	at[room_bytes - 1] = '\n';
	return finish(out, at + room_bytes);
}
