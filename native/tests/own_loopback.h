/* own_loopback.h: a network namespace of the test program's own, with nothing but lo.
 *
 * Tests change the MTU and add addresses there without touching the machine, and nothing
 * else on the machine can send to them.  The namespace ends with the program. */
#ifndef QX_OWN_LOOPBACK_H
#define QX_OWN_LOOPBACK_H

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* struct in6_ifreq of linux/ipv6.h, which cannot be included beside netinet/in.h. */
struct own_loopback_in6 {
	struct in6_addr addr;
	uint32_t prefix_bits;
	int ifindex;
};

/* own_loopback_usable waits until a new IPv6 address can be bound: the kernel takes it out
 * of its tentative state in a work queue, on loopback too (net/ipv6/addrconf.c,
 * addrconf_dad_work).  Returns 0, or -errno if it cannot after a second. */
static inline int own_loopback_usable(const struct in6_addr *addr, int ifindex)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = *addr};
	const struct timespec pause = {.tv_nsec = 1000000};
	int fd, err = -EADDRNOTAVAIL;

	if (IN6_IS_ADDR_LINKLOCAL(addr))
		name.sin6_scope_id = (uint32_t)ifindex;
	for (int i = 0; i < 1000 && err == -EADDRNOTAVAIL; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		if ((fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
			return -errno;
		err = bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ? -errno : 0;
		close(fd);
	}
	return err;
}

static inline int own_loopback_set(int fd4, int fd6, int mtu_bytes)
{
	struct own_loopback_in6 second = {.prefix_bits = 128};
	struct ifreq lo = {.ifr_name = "lo"};

	lo.ifr_mtu = mtu_bytes;
	if (ioctl(fd4, SIOCSIFMTU, &lo) < 0)
		return -errno;
	lo.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
	if (ioctl(fd4, SIOCSIFFLAGS, &lo) < 0)
		return -errno;
	second.addr.s6_addr[15] = 2;
	second.ifindex = (int)if_nametoindex("lo");
	if (ioctl(fd6, SIOCSIFADDR, &second) < 0)
		return -errno;
	return own_loopback_usable(&second.addr, second.ifindex);
}

/* own_loopback_enter moves this process into a new namespace whose lo has 127.0.0.0/8, ::1
 * and ::2.  Returns 0 or -errno; without privileges it tries a user namespace first. */
static inline int own_loopback_enter(int mtu_bytes)
{
	int fd4, fd6, err = -EAFNOSUPPORT;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return -errno;
	fd4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	fd6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd4 >= 0 && fd6 >= 0)
		err = own_loopback_set(fd4, fd6, mtu_bytes);
	if (fd4 >= 0)
		close(fd4);
	if (fd6 >= 0)
		close(fd6);
	return err;
}

#endif
