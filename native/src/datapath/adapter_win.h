/* adapter_win.h: network adapters as Windows names them. */
#ifndef QX_ADAPTER_WIN_H
#define QX_ADAPTER_WIN_H

#include <stdint.h>

#include "winxdp.h"

/* adapter_find finds an adapter by its name in Windows ("Ethernet 2", ignoring case) or by its
 * index ("12"), for names that are longer than an interface's may be here.
 *
 * Returns  0, or -errno with why: -ENODEV no such adapter, -EOPNOTSUPP none that frames of
 *          Ethernet pass through. */
int adapter_find(struct winxdp_adapter *out, const char *name, char *why);

#endif
