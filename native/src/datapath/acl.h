/* acl.h: which source addresses may reach an endpoint.
 *
 * The most specific rule that holds an address decides.  An address in no rule may pass,
 * unless some rule allows: who lists friends means nobody else, of either family.
 *
 * Built once into a sorted list of edges, because prefixes are nested or apart but never
 * overlap otherwise: between two edges the answer does not change, so a look-up is one
 * binary search however deep the nesting. */
#ifndef QX_ACL_H
#define QX_ACL_H

#include <stdbool.h>
#include <stdint.h>

#include "quicxdp.h"

struct qx_acl;

/* acl_open copies the rules.  With none, *out is NULL and everybody may pass.
 *
 * Returns  0, or with why filled: -EINVAL a rule that makes no sense, or two that
 *          contradict each other; -E2BIG more than QX_SOURCE_RULES_MAX; -ENOMEM. */
int acl_open(struct qx_acl **out, const struct qx_source_rule *rules, uint32_t cnt,
	     char *why);
void acl_close(struct qx_acl *acl);

/* acl_allows: may this address pass?  acl may be NULL.  Cost: a binary search. */
bool acl_allows(const struct qx_acl *acl, const struct qx_addr *peer);

#endif
