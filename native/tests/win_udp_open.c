/* win_udp_open.c: opening the Windows socket lane, with each of its calls failing in turn. */
#include "win_sock.h"

/* Each call that can fail leaves nothing behind and says why. */
static void whatever_call_fails_nothing_is_left_open(void)
{
	const struct qx_config cfg = {.local = v4(1, 0), .socket_fd = -1};
	char why[QX_WHY_BYTES];
	int handles, err = -1;

	/* Once, for what WinSock opens for itself. */
	fresh_v4();
	finish();
	handles = platform_open_handles();
	for (uint32_t n = 1; err < 0 && n < 50; n++) {
		calls = 0;
		fail_at = n;
		why[0] = 0;
		err = qx_open(&dp, &cfg, why);
		fail_at = 0;
		if (err < 0) {
			T_CHECK(strlen(why) > 10);
			T_EQ(platform_open_handles(), handles);
		} else {
			T_CHECK(n >= 8);
		}
	}
	T_EQ(err, 0);
	finish();
	T_EQ(platform_open_handles(), handles);
}

static void refused(const struct qx_config *cfg, int code, const char *word)
{
	char why[QX_WHY_BYTES] = "";

	T_EQ(qx_open(&dp, cfg, why), code);
	if (!strstr(why, word))
		T_FAIL("\"%s\" does not speak of %s", why, word);
}

/* asyncio's sock=: a socket of another kind is refused and stays its owner's. */
static void only_bound_udp_sockets_are_adopted(void)
{
	SOCKET tcp = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
	SOCKET udp = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
	struct sockaddr_in name = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct qx_addr local;
	char why[QX_WHY_BYTES];

	refused(&(struct qx_config){.socket_fd = (int)tcp}, -EINVAL, "UDP socket");
	refused(&(struct qx_config){.socket_fd = (int)udp}, -EINVAL, "bind");
	refused(&(struct qx_config){.socket_fd = 0x7ffffff0}, -ENOTSOCK, "not a socket");
	T_EQ(closesocket(tcp), 0);
	T_EQ(bind(udp, (struct sockaddr *)&name, sizeof(name)), 0);
	T_EQ(qx_open(&dp, &(struct qx_config){.socket_fd = (int)udp}, why), 0);
	qx_local(dp, &local);
	T_EQ(local.ip[0], 127);
	T_CHECK(local.port != 0);
	finish();
	/* It was ours. */
	T_EQ(closesocket(udp), SOCKET_ERROR);
}

/* Windows gives a shared port's datagrams to anybody: refused rather than surprising. */
static void sharing_a_port_is_refused(void)
{
	refused(&(struct qx_config){.local = v4(1, 0),
				    .socket_fd = -1,
				    .flags = QX_CFG_REUSE_PORT},
		-EOPNOTSUPP, "reuse_port");
}

static const struct t_case cases[] = {
	{"whatever call fails, nothing is left open",
	 whatever_call_fails_nothing_is_left_open},
	{"only bound UDP sockets are adopted", only_bound_udp_sockets_are_adopted},
	{"sharing a port is refused", sharing_a_port_is_refused},
};

WIN_SOCK_MAIN(cases)
