/* why.h: the sentence that an open which failed leaves for a person. */
#ifndef QX_WHY_H
#define QX_WHY_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "quicxdp.h"

/* why_set writes the sentence; longer ones are cut, never overflow. */
__attribute__((format(printf, 2, 3))) static inline void why_set(char *why, const char *fmt,
								 ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, QX_WHY_BYTES, fmt, args);
	va_end(args);
}

/* why_add appends another sentence. */
__attribute__((format(printf, 2, 3))) static inline void why_add(char *why, const char *fmt,
								 ...)
{
	size_t len = strnlen(why, QX_WHY_BYTES - 1);
	va_list args;

	if (len > 0)
		len += (size_t)snprintf(why + len, QX_WHY_BYTES - len, ". ");
	if (len >= QX_WHY_BYTES)
		return;
	va_start(args, fmt);
	vsnprintf(why + len, QX_WHY_BYTES - len, fmt, args);
	va_end(args);
}

#endif
