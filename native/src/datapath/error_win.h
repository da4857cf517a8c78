/* error_win.h: what Windows and WinSock call an error, as the number that the C API has for
 * it (errno.h in native/src/win). */
#ifndef QX_ERROR_WIN_H
#define QX_ERROR_WIN_H

#include <stdint.h>

/* error_of gives the positive Linux number of a Win32 or WinSock error code; EIO for one
 * that has no counterpart.  Never 0. */
int error_of(uint32_t code);

#endif
