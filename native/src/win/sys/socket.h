/* sys/socket.h: see netinet/in.h beside it. */
#include <netinet/in.h>
