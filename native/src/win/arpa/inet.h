/* arpa/inet.h: see netinet/in.h beside it; inet_ntop and inet_pton stand in ws2tcpip.h. */
#include <netinet/in.h>
