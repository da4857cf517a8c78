/* lists.c: the engine's lists of connections, each in the order of arrival. */
#include <stddef.h>

#include "engine.h"

void engine_list(struct qx_conn *c, enum conn_list list)
{
	struct conn_queue *q = &c->engine->lists[list];

	c->links[list] = (struct conn_link){q->tail, NULL};
	if (q->tail)
		q->tail->links[list].next = c;
	else
		q->head = c;
	q->tail = c;
	c->in_list[list] = true;
}

void engine_unlist(struct qx_conn *c, enum conn_list list)
{
	struct conn_queue *q = &c->engine->lists[list];
	const struct conn_link *l = &c->links[list];

	if (!c->in_list[list])
		return;
	if (l->prev)
		l->prev->links[list].next = l->next;
	else
		q->head = l->next;
	if (l->next)
		l->next->links[list].prev = l->prev;
	else
		q->tail = l->prev;
	c->in_list[list] = false;
}
