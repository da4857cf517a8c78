/* string.h: strerror for the numbers of the errno.h beside this file. */
#ifndef QX_WIN_STRING_H
#define QX_WIN_STRING_H

#include_next <string.h>

/* error_text (error_win.c) says what a positive Linux error number means. */
const char *error_text(int code);
#define strerror(code) error_text(code)

#endif
