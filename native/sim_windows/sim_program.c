/* sim_program.c: programs: rules captured, held and matched (program.c, programinspect.c). */
#include <stdlib.h>
#include <string.h>

#include "sim_internal.h"

enum {
	ETH_BYTES = 14,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	PROTOCOL_UDP = 17
};

static bool rule_valid(const struct xdp_rule *rule, const struct xdp_program_open *params)
{
	const struct xdp_port_set *set = &rule->pattern.ip_port_set.ports;
	const struct sim_object *target = sim_object_of(rule->redirect.target);

	if ((rule->match != XDP_MATCH_IPV4_UDP_PORT_SET &&
	     rule->match != XDP_MATCH_IPV6_UDP_PORT_SET) ||
	    !set->bits || set->reserved || rule->action != XDP_ACTION_REDIRECT ||
	    rule->redirect.target_type != XDP_TARGET_XSK)
		return false;
	/* The target must receive on the very queue that the program is for. */
	return target && target->type == XDP_XSK && target->xsk->state == STATE_ACTIVE &&
	       target->xsk->directions & XSK_BIND_RX && target->xsk->queue == params->queue &&
	       (int)target->xsk->end == sim_end_of(params->ifindex);
}

int32_t sim_program_create(struct sim_object *o, const struct xdp_program_open *params)
{
	const uint32_t modes = XDP_PROGRAM_GENERIC | XDP_PROGRAM_NATIVE;
	struct sim_program *p;
	int end = sim_end_of(params->ifindex);

	if (params->flags & ~modes || (params->flags & modes) == modes)
		return NT_INVALID_PARAMETER;
	if (end < 0 || (params->flags & XDP_PROGRAM_NATIVE && sim_config.no_native))
		return NT_NOT_FOUND;
	if (params->hook.layer != XDP_HOOK_L2 || params->hook.direction != XDP_HOOK_RX ||
	    params->hook.sublayer != XDP_HOOK_INSPECT ||
	    params->queue >= sim_config.queue_cnt)
		return NT_INVALID_PARAMETER;
	if ((int32_t)params->queue == sim_config.fail_program_queue)
		return NT_INSUFFICIENT_RESOURCES;
	for (uint32_t i = 0; i < params->rule_cnt; i++)
		if (!rule_valid(&params->rules[i], params))
			return NT_INVALID_PARAMETER;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NT_INSUFFICIENT_RESOURCES;
	p->rules = calloc(params->rule_cnt ? params->rule_cnt : 1, sizeof(*p->rules));
	if (!p->rules) {
		free(p);
		return NT_INSUFFICIENT_RESOURCES;
	}
	/* Copied, but for the port sets, whose pages the driver locks and goes on reading. */
	memcpy(p->rules, params->rules, sizeof(*p->rules) * params->rule_cnt);
	p->rule_cnt = params->rule_cnt;
	p->end = (uint32_t)end;
	p->queue = params->queue;
	o->program = p;
	sim_counts.programs_created++;
	return NT_OK;
}

void sim_program_close(struct sim_program *p)
{
	free(p->rules);
	free(p);
}

/* ---- Matching ---- */

struct key {
	uint32_t match; /* the rule type that may match it */
	const uint8_t *address;
	uint32_t address_bytes;
	uint16_t port; /* as it lies in memory */
};

/* parse: false for what the driver's parser does not take to UDP.  It does not look at the
 * fragment offset. */
static bool parse(const uint8_t *f, uint32_t len_bytes, struct key *key)
{
	uint32_t udp;

	if (len_bytes >= ETH_BYTES + IPV4_BYTES && f[12] == 0x08 && f[13] == 0x00) {
		if (f[ETH_BYTES] != 0x45 || f[ETH_BYTES + 9] != PROTOCOL_UDP)
			return false;
		udp = ETH_BYTES + IPV4_BYTES;
		*key = (struct key){XDP_MATCH_IPV4_UDP_PORT_SET, f + ETH_BYTES + 16, 4, 0};
	} else if (len_bytes >= ETH_BYTES + IPV6_BYTES && f[12] == 0x86 && f[13] == 0xdd) {
		if (f[ETH_BYTES + 6] != PROTOCOL_UDP)
			return false;
		udp = ETH_BYTES + IPV6_BYTES;
		*key = (struct key){XDP_MATCH_IPV6_UDP_PORT_SET, f + ETH_BYTES + 24, 16, 0};
	} else {
		return false;
	}
	if (len_bytes < udp + 8)
		return false;
	memcpy(&key->port, f + udp + 2, sizeof(key->port));
	return true;
}

static bool rule_matches(const struct xdp_rule *rule, const struct key *key)
{
	const struct xdp_ip_port_set *p = &rule->pattern.ip_port_set;

	return rule->match == key->match &&
	       memcmp(p->address, key->address, key->address_bytes) == 0 &&
	       p->ports.bits[key->port >> 3] >> (key->port & 7) & 1;
}

struct sim_xsk *sim_program_match(uint32_t end, uint32_t queue, const uint8_t *frame,
				  uint32_t len_bytes)
{
	struct key key;

	if (!parse(frame, len_bytes, &key))
		return NULL;
	for (uint32_t i = 0; i < HANDLE_CNT; i++) {
		const struct sim_object *o = sim_objects[i];

		if (!o || o->type != XDP_PROGRAM || o->program->end != end ||
		    o->program->queue != queue)
			continue;
		for (uint32_t r = 0; r < o->program->rule_cnt; r++) {
			struct sim_object *target;

			if (!rule_matches(&o->program->rules[r], &key))
				continue;
			target = sim_object_of(o->program->rules[r].redirect.target);
			return target && target->type == XDP_XSK ? target->xsk : NULL;
		}
	}
	return NULL;
}
