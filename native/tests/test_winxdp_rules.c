/* test_winxdp_rules.c: what XDP for Windows is told to redirect, and what it is not; over the
 * simulator, which matches packets as the driver's parser does. */
#include "winxdp_rig.h"

#include "wire.h"

enum {
	PORT = 443
};

static uint8_t frame[128];

static struct qx_addr local_at(uint8_t family, uint8_t n, uint32_t port)
{
	struct qx_addr a = sim_addr(0, family, n);

	a.port = (uint16_t)port;
	return a;
}

static uint32_t make_frame(const struct qx_addr *to)
{
	struct qx_path path = {.peer = *to, .local = sim_addr(1, to->family, 0)};

	path.local.port = 50000;
	wire_build_headers(frame, sim_adapter(0).mac, sim_adapter(1).mac, &path);
	return wire_finish(frame, to->family, 20, 0);
}

/* Is a packet taken from Windows?  Nobody gives the driver memory for it: it is counted. */
static bool is_taken(uint32_t len_bytes)
{
	uint64_t before = sim_counts.passed;

	sim_inject(0, frame, len_bytes);
	return sim_counts.passed == before;
}

static bool is_redirected(const struct qx_addr *to)
{
	return is_taken(make_frame(to));
}

static struct qx_nic *attached(const struct qx_addr *local)
{
	struct qx_nic *nic;

	T_EQ(rig_open(&nic, 16, 16), 0);
	T_EQ(nic->ops->admit(nic, local), 0);
	T_EQ(nic->ops->attach(nic, rig_why), 0);
	return nic;
}

/* One port too many is somebody else's traffic; the set is in network order, of all things. */
static void of_all_ports_only_the_admitted_are_redirected(void)
{
	static const uint32_t admitted[] = {1, 255, 256, 443, 4433, 47873, 65535};
	const uint32_t cnt = sizeof(admitted) / sizeof(admitted[0]);

	for (uint8_t family = QX_IPV4; family <= QX_IPV6; family += 2) {
		struct qx_addr local = local_at(family, 0, admitted[0]);
		struct qx_nic *nic;
		uint32_t next = 0;

		sim_reset();
		nic = attached(&local);
		for (uint32_t i = 1; i < cnt; i++) {
			local.port = (uint16_t)admitted[i];
			T_EQ(nic->ops->admit(nic, &local), 0);
		}
		/* Ports after the first cost no new program. */
		T_EQ(sim_counts.programs_created, SIM_QUEUE_CNT);
		for (uint32_t port = 0; port <= 65535; port++) {
			bool wanted = next < cnt && port == admitted[next];

			local.port = (uint16_t)port;
			if (is_redirected(&local) != wanted)
				T_FAIL("port %u is%s redirected", port, wanted ? " not" : "");
			next += wanted;
		}
		nic->ops->close(nic);
	}
}

/* The other address of the adapter, the other family: Windows' own. */
static void only_the_admitted_address_is_redirected(void)
{
	struct qx_addr local = local_at(QX_IPV4, 0, PORT);
	struct qx_addr other = local_at(QX_IPV4, 1, PORT);
	struct qx_addr other_family = local_at(QX_IPV6, 0, PORT);
	struct qx_nic *nic;

	sim_reset();
	nic = attached(&local);
	T_CHECK(is_redirected(&local));
	T_CHECK(!is_redirected(&other));
	T_CHECK(!is_redirected(&other_family));
	/* A new address is a new program on each queue, and the old ones go. */
	T_EQ(nic->ops->admit(nic, &other_family), 0);
	T_EQ(sim_held().programs, SIM_QUEUE_CNT);
	T_CHECK(is_redirected(&local));
	T_CHECK(is_redirected(&other_family));
	T_EQ(nic->ops->admit(nic, &other_family), -EEXIST);
	nic->ops->close(nic);
}

/* What the driver does not fully understand must reach Windows' sockets. */
static void what_is_not_plain_udp_stays_with_windows(void)
{
	struct qx_addr v4 = local_at(QX_IPV4, 0, PORT), v6 = local_at(QX_IPV6, 0, PORT);
	struct qx_nic *nic;
	uint32_t len_bytes;

	sim_reset();
	nic = attached(&v4);
	T_EQ(nic->ops->admit(nic, &v6), 0);

	len_bytes = make_frame(&v4);
	frame[14] = 0x46; /* options */
	T_CHECK(!is_taken(len_bytes));
	make_frame(&v4);
	frame[23] = 6; /* TCP */
	T_CHECK(!is_taken(len_bytes));
	make_frame(&v4);
	frame[12] = 0x81; /* a VLAN tag */
	frame[13] = 0x00;
	T_CHECK(!is_taken(len_bytes));
	make_frame(&v4);
	T_CHECK(!is_taken(30));

	len_bytes = make_frame(&v6);
	frame[20] = 0; /* hop-by-hop options */
	T_CHECK(!is_taken(len_bytes));
	make_frame(&v6);
	T_CHECK(is_taken(len_bytes));
	nic->ops->close(nic);
}

/* An endpoint that closed must not go on swallowing what is somebody else's by then. */
static void a_dismissed_port_is_redirected_no_more(void)
{
	struct qx_addr a = local_at(QX_IPV4, 0, PORT), b = local_at(QX_IPV4, 0, PORT + 1);
	struct qx_addr c = local_at(QX_IPV4, 1, PORT);
	struct qx_nic *nic;

	sim_reset();
	nic = attached(&a);
	T_EQ(nic->ops->admit(nic, &b), 0);
	T_EQ(nic->ops->admit(nic, &c), 0);
	nic->ops->dismiss(nic, &a);
	T_CHECK(!is_redirected(&a));
	T_CHECK(is_redirected(&b));
	nic->ops->dismiss(nic, &b);
	nic->ops->dismiss(nic, &b);
	T_CHECK(!is_redirected(&b));
	T_CHECK(is_redirected(&c));
	/* An address that lost all its ports gets a rule again. */
	T_EQ(nic->ops->admit(nic, &a), 0);
	T_CHECK(is_redirected(&a));
	T_CHECK(!is_redirected(&b));
	nic->ops->detach(nic);
	nic->ops->detach(nic);
	T_CHECK(!is_redirected(&a));
	T_EQ(sim_held().programs, 0);
	T_EQ(nic->ops->attach(nic, rig_why), 0);
	T_EQ(nic->ops->attach(nic, rig_why), 0);
	T_CHECK(is_redirected(&a));
	nic->ops->close(nic);
}

/* Half of the queues redirected would lose half of the flows for nobody's benefit. */
static void a_queue_that_refuses_its_program_undoes_all(void)
{
	struct qx_addr a = local_at(QX_IPV4, 0, PORT), b = local_at(QX_IPV4, 1, PORT);
	struct qx_nic *nic;

	for (int queue = 0; queue < SIM_QUEUE_CNT; queue++) {
		sim_reset();
		sim_config.fail_program_queue = queue;
		T_EQ(rig_open(&nic, 16, 16), 0);
		T_EQ(nic->ops->admit(nic, &a), 0);
		T_EQ(nic->ops->attach(nic, rig_why), -ENOMEM);
		T_CHECK(strstr(rig_why, "nothing is redirected") != NULL);
		T_EQ(sim_held().programs, 0);
		T_CHECK(!is_redirected(&a));

		/* The same with others at work: they stay as they are. */
		sim_config.fail_program_queue = -1;
		T_EQ(nic->ops->attach(nic, rig_why), 0);
		sim_config.fail_program_queue = queue;
		T_EQ(nic->ops->admit(nic, &b), -ENOMEM);
		T_EQ(sim_held().programs, SIM_QUEUE_CNT);
		T_CHECK(is_redirected(&a));
		T_CHECK(!is_redirected(&b));
		sim_config.fail_program_queue = -1;
		T_EQ(nic->ops->admit(nic, &b), 0);
		T_CHECK(is_redirected(&b));
		nic->ops->close(nic);
	}
}

static struct qx_addr numbered(uint32_t n)
{
	struct qx_addr a = sim_addr(0, QX_IPV6, 0);

	a.ip[12] = (uint8_t)(n >> 8);
	a.ip[13] = (uint8_t)n;
	a.port = PORT;
	return a;
}

/* More addresses than rules: an error, not a rule that replaces another. */
static void there_are_255_rules_and_one_that_went_makes_room(void)
{
	for (int attach = 0; attach < 2; attach++) {
		struct qx_addr first = numbered(0), a;
		struct qx_nic *nic;

		sim_reset();
		sim_config.queue_cnt = 1;
		T_EQ(rig_open(&nic, 16, 16), 0);
		T_EQ(nic->ops->admit(nic, &first), 0);
		if (attach)
			T_EQ(nic->ops->attach(nic, rig_why), 0);
		for (uint32_t n = 1; n < WINXDP_RULE_MAX; n++) {
			a = numbered(n);
			T_EQ(nic->ops->admit(nic, &a), 0);
		}
		a = numbered(WINXDP_RULE_MAX);
		T_EQ(nic->ops->admit(nic, &a), -ENOSPC);
		first.port++;
		T_EQ(nic->ops->admit(nic, &first), 0);
		nic->ops->dismiss(nic, &first);
		first.port--;
		nic->ops->dismiss(nic, &first);
		T_EQ(nic->ops->admit(nic, &a), 0);
		T_EQ(nic->ops->attach(nic, rig_why), 0);
		T_CHECK(is_redirected(&a));
		T_CHECK(!is_redirected(&first));
		/* All gone, and one comes. */
		for (uint32_t n = 1; n <= WINXDP_RULE_MAX; n++) {
			a = numbered(n);
			nic->ops->dismiss(nic, &a);
		}
		T_EQ(nic->ops->admit(nic, &first), 0);
		T_CHECK(is_redirected(&first));
		T_EQ(sim_held().locked_bytes % XDP_PORT_SET_BYTES, 0);
		nic->ops->close(nic);
	}
}

static const struct t_case cases[] = {
	{"of all ports only the admitted are redirected",
	 of_all_ports_only_the_admitted_are_redirected},
	{"only the admitted address is redirected", only_the_admitted_address_is_redirected},
	{"what is not plain UDP stays with Windows",
	 what_is_not_plain_udp_stays_with_windows},
	{"a dismissed port is redirected no more", a_dismissed_port_is_redirected_no_more},
	{"a queue that refuses its program undoes all",
	 a_queue_that_refuses_its_program_undoes_all},
	{"there are 255 rules, and one that went makes room",
	 there_are_255_rules_and_one_that_went_makes_room},
};

RIG_MAIN(cases)
