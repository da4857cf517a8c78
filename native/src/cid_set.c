/* cid_set.c: open addressing; removal moves back what had been displaced, so that a look-up
 * ends at the first free slot. */
#include "cid_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "quicxdp_engine.h"

enum {
	SLOTS_MIN = 64
};

int cid_set_init(struct cid_set *s)
{
	*s = (struct cid_set){.mask = SLOTS_MIN - 1};
	/* Too early after boot for random numbers: the address of the set will do. */
	if (!os_random(&s->salt, sizeof(s->salt)))
		s->salt = (uintptr_t)s;
	s->slots = calloc(SLOTS_MIN, sizeof(*s->slots));
	return s->slots ? 0 : -ENOMEM;
}

void cid_set_free(struct cid_set *s)
{
	free(s->slots);
	s->slots = NULL;
}

static struct cid_key key_of(const uint8_t *cid, uint32_t len_bytes)
{
	struct cid_key key = {{0}};
	uint8_t *bytes = (uint8_t *)key.words;

	bytes[0] = (uint8_t)(len_bytes + 1); /* never zero */
	if (len_bytes > 0)
		memcpy(bytes + 1, cid, len_bytes);
	return key;
}

/* murmur3's finalizer, keyed, over one word after the other. */
static uint32_t home_of(const struct cid_set *s, const struct cid_key *key)
{
	uint64_t h = s->salt;

	for (int i = 0; i < 3; i++) {
		h ^= key->words[i];
		h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
		h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u + s->salt;
	}
	return (uint32_t)(h >> 32) & s->mask;
}

static bool is_free(const struct cid_key *key)
{
	return key->words[0] == 0;
}

/* Where key is, or the free slot where it would go. */
static uint32_t slot_of(const struct cid_set *s, const struct cid_key *key)
{
	uint32_t i = home_of(s, key);

	while (!is_free(&s->slots[i]) && memcmp(&s->slots[i], key, sizeof(*key)) != 0)
		i = (i + 1) & s->mask;
	return i;
}

static int grow(struct cid_set *s)
{
	struct cid_set larger = *s;

	larger.mask = s->mask * 2 + 1;
	larger.slots = calloc((size_t)larger.mask + 1, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (uint32_t i = 0; i <= s->mask; i++)
		if (!is_free(&s->slots[i]))
			larger.slots[slot_of(&larger, &s->slots[i])] = s->slots[i];
	free(s->slots);
	*s = larger;
	return 0;
}

int cid_set_add(struct cid_set *s, const uint8_t *cid, uint32_t len_bytes)
{
	struct cid_key key;
	int err;

	if (len_bytes > QX_CID_MAX_BYTES)
		return -EINVAL;
	if (s->cnt * 2 >= s->mask) {
		err = grow(s);
		if (err < 0)
			return err;
	}
	key = key_of(cid, len_bytes);
	if (is_free(&s->slots[slot_of(s, &key)]))
		s->cnt++;
	s->slots[slot_of(s, &key)] = key;
	return 0;
}

void cid_set_remove(struct cid_set *s, const uint8_t *cid, uint32_t len_bytes)
{
	struct cid_key key;
	uint32_t hole;

	if (len_bytes > QX_CID_MAX_BYTES)
		return;
	key = key_of(cid, len_bytes);
	hole = slot_of(s, &key);
	if (is_free(&s->slots[hole]))
		return;
	for (uint32_t i = (hole + 1) & s->mask; !is_free(&s->slots[i]);
	     i = (i + 1) & s->mask) {
		const uint32_t home = home_of(s, &s->slots[i]);

		/* Found from home on, so it may not lie before it. */
		if (((i - home) & s->mask) < ((i - hole) & s->mask))
			continue;
		s->slots[hole] = s->slots[i];
		hole = i;
	}
	s->slots[hole] = (struct cid_key){{0}};
	s->cnt--;
}

bool cid_set_has(const struct cid_set *s, const uint8_t *cid, uint32_t len_bytes)
{
	struct cid_key key;

	if (len_bytes > QX_CID_MAX_BYTES)
		return false;
	key = key_of(cid, len_bytes);
	return !is_free(&s->slots[slot_of(s, &key)]);
}
