/* endian.h: Windows runs little-endian on every processor that it supports. */
#ifndef QX_WIN_ENDIAN_H
#define QX_WIN_ENDIAN_H

#define htobe64(x) __builtin_bswap64(x)

#endif
