/* ifinfo.c: see ifinfo.h.
 *
 * Some facts
 *  - The RX queues in use are ETHTOOL_GCHANNELS' combined plus rx (drivers use either or
 *    both); the maximum is another number, and binding beyond the count in use is EINVAL.
 *  - /sys/class/net shows the namespace that sysfs was mounted in, not the thread's: only
 *    good as a second source. */
#include "ifinfo.h"

#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addr.h"

static int ask(int fd, unsigned long request, struct ifreq *ifr, const char *name)
{
	memset(ifr, 0, sizeof(*ifr));
	memcpy(ifr->ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	return ioctl(fd, request, ifr) < 0 ? -errno : 0;
}

/* ethtool_ask fills data, whose first field is the command. */
static int ethtool_ask(int fd, const char *name, void *data)
{
	struct ifreq ifr = {.ifr_data = data};

	memcpy(ifr.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	return ioctl(fd, SIOCETHTOOL, &ifr) < 0 ? -errno : 0;
}

static uint32_t sysfs_rx_queue_cnt(const char *name)
{
	char path[sizeof("/sys/class/net//queues") + IFNAMSIZ];
	struct dirent *entry;
	uint32_t cnt = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/class/net/%.*s/queues", IFNAMSIZ - 1, name);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		cnt += !strncmp(entry->d_name, "rx-", 3);
	closedir(dir);
	return cnt;
}

static uint32_t rx_queue_cnt(int fd, const char *name)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	uint32_t cnt = 0;

	if (ethtool_ask(fd, name, &channels) == 0)
		cnt = channels.combined_count + channels.rx_count;
	if (!cnt)
		cnt = sysfs_rx_queue_cnt(name);
	return cnt ? cnt : 1;
}

int ifinfo_get(struct ifinfo *out, const char *name)
{
	struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq ifr;
	int fd, err;

	memset(out, 0, sizeof(*out));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = ask(fd, SIOCGIFINDEX, &ifr, name);
	if (err)
		goto close_fd;
	out->ifindex = (uint32_t)ifr.ifr_ifindex;
	err = ask(fd, SIOCGIFFLAGS, &ifr, name);
	if (err)
		goto close_fd;
	out->loopback = ifr.ifr_flags & IFF_LOOPBACK;
	err = ask(fd, SIOCGIFMTU, &ifr, name);
	if (err)
		goto close_fd;
	out->mtu_bytes = (uint32_t)ifr.ifr_mtu;
	err = ask(fd, SIOCGIFHWADDR, &ifr, name);
	if (err)
		goto close_fd;
	out->ethernet = ifr.ifr_hwaddr.sa_family == ARPHRD_ETHER;
	memcpy(out->mac, ifr.ifr_hwaddr.sa_data, sizeof(out->mac));
	out->rx_queue_cnt = rx_queue_cnt(fd, name);
	if (ethtool_ask(fd, name, &driver) == 0)
		memcpy(out->driver, driver.driver, sizeof(out->driver) - 1);
close_fd:
	close(fd);
	return err;
}

static socklen_t sockaddr_bytes(const struct sockaddr *sa)
{
	if (!sa)
		return 0;
	return sa->sa_family == AF_INET    ? sizeof(struct sockaddr_in)
	       : sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					   : 0;
}

int ifinfo_addrs(const char *name, struct qx_addr *out, uint32_t max)
{
	struct ifaddrs *all;
	uint32_t cnt = 0;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (struct ifaddrs *i = all; i && cnt < max; i = i->ifa_next)
		if (!strcmp(i->ifa_name, name) &&
		    addr_from_sockaddr(&out[cnt], i->ifa_addr, sockaddr_bytes(i->ifa_addr)))
			cnt++;
	freeifaddrs(all);
	return (int)cnt;
}
