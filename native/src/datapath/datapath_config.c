/* datapath_config.c: a configuration that contradicts itself is refused before anything is
 * opened. */
#include <errno.h>
#include <string.h>

#include "datapath.h"
#include "why.h"

static int check_addr(const struct qx_addr *a, const char *what, char *why)
{
	static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

	if (a->family != QX_UNSPEC && a->family != QX_IPV4 && a->family != QX_IPV6) {
		why_set(why, "%s address: family %u is neither QX_IPV4 nor QX_IPV6", what,
			a->family);
		return -EINVAL;
	}
	if (a->family == QX_IPV6 &&
	    memcmp(a->ip, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		why_set(why, "%s address: IPv4 in IPv6 form (::ffff:...); give it as QX_IPV4",
			what);
		return -EINVAL;
	}
	return 0;
}

static bool is_zero(const uint8_t *bytes, size_t len_bytes)
{
	while (len_bytes > 0 && bytes[len_bytes - 1] == 0)
		len_bytes--;
	return len_bytes == 0;
}

/* Only an endpoint on :: reaches both families. */
static int check_families(const struct qx_config *cfg, char *why)
{
	const struct qx_addr *local = &cfg->local;
	bool both = local->family == QX_IPV6 && is_zero(local->ip, sizeof(local->ip)) &&
		    !(cfg->flags & QX_CFG_V6ONLY);

	if (local->family == QX_UNSPEC || cfg->remote.family == QX_UNSPEC ||
	    local->family == cfg->remote.family || (both && cfg->remote.family == QX_IPV4))
		return 0;
	why_set(why,
		"local address IPv%d, remote address IPv%d: one cannot reach the other; "
		"bind to an address of the remote's family",
		local->family, cfg->remote.family);
	return -EINVAL;
}

static int check_name(const char *name, char *why)
{
	if (memchr(name, 0, QX_IFNAME_BYTES))
		return 0;
	why_set(why, "interface: names have at most %d characters", QX_IFNAME_BYTES - 1);
	return -EINVAL;
}

static int check_interfaces(const struct qx_config *cfg, char *why)
{
	int err = check_name(cfg->interface, why);

	for (int i = 0; err == 0 && i < QX_MORE_INTERFACES_MAX; i++)
		err = check_name(cfg->more_interfaces[i], why);
	if (err == 0 && !cfg->interface[0] && cfg->more_interfaces[0][0]) {
		why_set(why, "more_interfaces: the first one goes into interface");
		err = -EINVAL;
	}
	return err;
}

int datapath_check_config(const struct qx_config *cfg, char *why)
{
	int err;

	if ((err = check_addr(&cfg->local, "local", why)) < 0 ||
	    (err = check_addr(&cfg->remote, "remote", why)) < 0)
		return err;
	if (cfg->remote.family != QX_UNSPEC && cfg->remote.port == 0) {
		why_set(why, "remote address: port 0 cannot be connected to; give the port");
		return -EINVAL;
	}
	if ((err = check_families(cfg, why)) < 0 || (err = check_interfaces(cfg, why)) < 0)
		return err;
	if (cfg->xdp_mode >= QX_XDP_MODE_CNT) {
		why_set(why, "xdp_mode: %u is none of enum qx_xdp_mode", cfg->xdp_mode);
		return -EINVAL;
	}
	return 0;
}

int datapath_pick_family(struct qx_config *cfg, char *why)
{
	if (cfg->local.family == QX_UNSPEC)
		cfg->local.family = cfg->remote.family;
	if (cfg->local.family != QX_UNSPEC)
		return 0;
	why_set(why, "no local address: give one, or a remote address, or a bound socket");
	return -EINVAL;
}
