/* test_winxdp_open.c: opening XDP for Windows: what the driver may say, and what a person is
 * told; over the simulator. */
#include "winxdp_rig.h"

/* Most machines do not have it: one clear line, and sockets. */
static void an_absent_driver_is_a_sentence_that_says_what_to_install(void)
{
	sim_reset();
	sim_config.absent = true;
	rig_refused(-EOPNOTSUPP, "xdp-setup.ps1 -Install xdp");
	T_EQ(sim_counts.creates, 2); /* the type's device, then the common one */
}

/* Services do not run as Administrator; there is a way, and few know it. */
static void an_access_that_is_denied_names_the_way_to_allow_it(void)
{
	struct qx_addr local = sim_addr(0, QX_IPV4, 0);
	struct qx_nic *nic;

	sim_reset();
	sim_config.deny = 1 << XDP_XSK;
	rig_refused(-EPERM, "xdpcfg.exe SetDeviceSddl xsk");
	/* The common device may be open to more users, and is not for going around. */
	T_EQ(sim_counts.creates, 1);

	sim_config.deny = 1 << XDP_PROGRAM;
	T_EQ(rig_open(&nic, 16, 16), 0);
	local.port = 443;
	T_EQ(nic->ops->admit(nic, &local), 0);
	T_EQ(nic->ops->attach(nic, rig_why), -EPERM);
	T_CHECK(strstr(rig_why, "SetDeviceSddl program") != NULL);
	nic->ops->close(nic);
}

/* 1.0 speaks another interface; trying it would end in nonsense. */
static void a_driver_older_than_1_1_is_named(void)
{
	sim_reset();
	sim_config.old = true;
	rig_refused(-EOPNOTSUPP, "older than 1.1");
}

/* 1.1 to 1.3 have one device for everything, 1.4 has one per type as well. */
static void drivers_before_and_after_1_4_are_both_found(void)
{
	struct qx_nic *nic;

	for (int version = 0; version < 2; version++) {
		sim_reset();
		sim_config.per_type = version == 1;
		sim_config.common = version == 0;
		T_EQ(rig_open(&nic, 16, 16), 0);
		T_EQ(nic->queue_cnt, SIM_QUEUE_CNT);
		nic->ops->close(nic);
	}
}

static void an_adapter_that_xdp_is_not_bound_to_is_named(void)
{
	sim_reset();
	sim_config.unbound = true;
	rig_refused(-ENODEV, "Get-NetAdapterBinding");
}

/* Few adapters have native XDP; generic works everywhere, and costs: so it is said. */
static void without_native_xdp_it_runs_in_generic_mode_and_says_so(void)
{
	struct qx_nic *nic;

	sim_reset();
	T_EQ(rig_open(&nic, 16, 16), 0);
	T_EQ(rig_why[0], 0);
	nic->ops->close(nic);

	sim_config.no_native = true;
	T_EQ(rig_open(&nic, 16, 16), 0);
	T_CHECK(strstr(rig_why, "generic") != NULL);
	nic->ops->close(nic);
}

/* The interface has no question for the number of queues. */
static void queues_are_counted_by_binding_until_there_is_none(void)
{
	static const uint32_t cnts[] = {1, 2, 5, WINXDP_QUEUE_MAX, WINXDP_QUEUE_MAX + 10};
	struct qx_nic *nic;

	for (size_t i = 0; i < sizeof(cnts) / sizeof(cnts[0]); i++) {
		uint32_t expected =
			cnts[i] < WINXDP_QUEUE_MAX ? cnts[i] : (uint32_t)WINXDP_QUEUE_MAX;

		sim_reset();
		sim_config.queue_cnt = cnts[i];
		T_EQ(rig_open(&nic, 16, 16), 0);
		T_EQ(nic->queue_cnt, expected);
		T_EQ(strstr(rig_why, "the first 28 queues") != NULL,
		     expected == WINXDP_QUEUE_MAX);
		/* Two sockets each, and none left over from asking for one more. */
		T_EQ(sim_held().handles, 2 * expected);
		nic->ops->close(nic);
	}
}

/* Binding runs on the adapter's work queue, so the answer may come later. */
static void answers_that_come_later_are_waited_for(void)
{
	struct qx_nic *nic;

	sim_reset();
	sim_config.pends = true;
	T_EQ(rig_open(&nic, 16, 16), 0);
	T_EQ(nic->queue_cnt, SIM_QUEUE_CNT);
	nic->ops->close(nic);
}

/* A stride or an offset believed would have us write over foreign memory. */
static void a_ring_that_is_described_wrongly_is_refused(void)
{
	for (uint32_t ring = 0; ring < 4; ring++)
		for (int lie = SIM_TRUTH + 1; lie < SIM_LAYOUT_OUTSIDE; lie++) {
			sim_reset();
			sim_config.lie = (enum sim_lie)lie;
			sim_config.lie_ring = ring;
			rig_refused(-EOPNOTSUPP, "describes the rings");
		}
	for (int lie = SIM_LAYOUT_OUTSIDE; lie < SIM_LIE_CNT; lie++) {
		sim_reset();
		sim_config.offload = true;
		sim_config.lie = (enum sim_lie)lie;
		rig_refused(-EOPNOTSUPP, "describes the rings");
	}
}

/* Elements as small as can be, and larger ones: timestamps and checksums make them so. */
static void any_stride_that_holds_an_element_will_do(void)
{
	static const uint32_t extras[] = {0, 8, 16, 24, 104, 2048};
	struct qx_nic *nic;

	for (size_t i = 0; i < sizeof(extras) / sizeof(extras[0]); i++) {
		sim_reset();
		sim_config.extra_stride_bytes = extras[i];
		T_EQ(rig_open(&nic, 16, 16), 0);
		T_EQ(nic->queues[0].completion.stride_bytes, 8 + extras[i]);
		T_EQ(nic->queues[1].rx.stride_bytes, 16 + extras[i]);
		nic->ops->close(nic);
	}
}

static void buffer_counts_that_make_no_ring_are_refused(void)
{
	static const uint32_t wrong[] = {1, 15, 17, 1000, 1 << 17, UINT32_MAX};
	struct qx_nic *nic;

	sim_reset();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		T_EQ(rig_open(&nic, wrong[i], 16), -EINVAL);
		T_CHECK(strstr(rig_why, "power of two") != NULL);
		T_EQ(rig_open(&nic, 16, wrong[i]), -EINVAL);
	}
}

/* Whatever the driver refuses, whenever: an error, a sentence, and nothing left open. */
static void every_call_may_fail_and_nothing_is_left(void)
{
	static const int32_t statuses[] = {NT_INVALID_PARAMETER,      NT_ACCESS_DENIED,
					   NT_INSUFFICIENT_RESOURCES, NT_NOT_FOUND,
					   NT_INVALID_DEVICE_STATE,   NT_DEVICE_REMOVED,
					   NT_STATUS(0xc0000001),     NT_NOT_SUPPORTED};
	struct qx_addr local = sim_addr(0, QX_IPV6, 1);
	uint32_t failed_cnt = 0;

	local.port = 4433;
	for (size_t s = 0; s < sizeof(statuses) / sizeof(statuses[0]); s++)
		for (uint32_t n = 1;; n++) {
			struct qx_nic *nic = NULL;
			int err;

			sim_reset();
			sim_config.offload = s & 1;
			sim_config.fail_at = n;
			sim_config.fail_status = statuses[s];
			err = rig_open(&nic, 16, 16);
			if (err == 0 && (err = nic->ops->admit(nic, &local)) == 0)
				err = nic->ops->attach(nic, rig_why);
			T_CHECK(memchr(rig_why, 0, sizeof(rig_why)) != NULL);
			T_CHECK(err <= 0 && (err == 0 || strlen(rig_why) > 20));
			if (nic)
				nic->ops->close(nic);
			T_EQ(sim_counts.violations, 0);
			T_EQ(sim_held().handles, 0);
			T_EQ(sim_held().locked_bytes, 0);
			T_EQ(sim_held().ring_bytes, 0);
			failed_cnt += err < 0;
			if (sim_config.fail_at > 0)
				break; /* more than there are calls */
			T_CHECK(n < 200);
		}
	T_CHECK(failed_cnt > 100);
}

static const struct t_case cases[] = {
	{"an absent driver is a sentence that says what to install",
	 an_absent_driver_is_a_sentence_that_says_what_to_install},
	{"an access that is denied names the way to allow it",
	 an_access_that_is_denied_names_the_way_to_allow_it},
	{"a driver older than 1.1 is named", a_driver_older_than_1_1_is_named},
	{"drivers before and after 1.4 are both found",
	 drivers_before_and_after_1_4_are_both_found},
	{"an adapter that XDP is not bound to is named",
	 an_adapter_that_xdp_is_not_bound_to_is_named},
	{"without native XDP it runs in generic mode and says so",
	 without_native_xdp_it_runs_in_generic_mode_and_says_so},
	{"queues are counted by binding until there is none",
	 queues_are_counted_by_binding_until_there_is_none},
	{"answers that come later are waited for", answers_that_come_later_are_waited_for},
	{"a ring that is described wrongly is refused",
	 a_ring_that_is_described_wrongly_is_refused},
	{"any stride that holds an element will do",
	 any_stride_that_holds_an_element_will_do},
	{"buffer counts that make no ring are refused",
	 buffer_counts_that_make_no_ring_are_refused},
	{"every call may fail and nothing is left", every_call_may_fail_and_nothing_is_left},
};

RIG_MAIN(cases)
