/* win_winxdp_absent.c: a machine without the driver of XDP for Windows, for real: ntdll is asked,
 * and says that there is no such device.  Wine is such a machine; so is a fresh Windows. */
#include <errno.h>
#include <stdio.h>

#include "adapter_win.h"
#include "platform.h"
#include "quicxdp.h"
#include "t.h"
#include "winxdp.h"

static int no_addrs(uint32_t ifindex, struct qx_addr *out, uint32_t max)
{
	(void)ifindex;
	(void)out;
	(void)max;
	return 0;
}

/* The commonest case of all: one line that says what to install, and nothing left open. */
static void an_absent_driver_is_one_clear_line(void)
{
	const struct winxdp_adapter adapter = {
		.ifindex = 1, .mtu_bytes = 1500, .local_addrs = no_addrs};
	const struct qx_nic_config cfg = {.interface = "Ethernet"};
	char why[QX_WHY_BYTES] = "";
	struct qx_nic *nic = NULL;
	int handles;

	/* Once before counting: what Windows keeps for itself is made at the first call. */
	T_EQ(winxdp_open(&nic, &winxdp_ntdll, &adapter, &cfg, why), -EOPNOTSUPP);
	handles = platform_open_handles();
	for (int i = 0; i < 10; i++)
		T_EQ(winxdp_open(&nic, &winxdp_ntdll, &adapter, &cfg, why), -EOPNOTSUPP);
	T_EQ(platform_open_handles(), handles);
	T_CHECK(strstr(why, "driver of XDP for Windows is not there") != NULL);
	T_CHECK(strchr(why, '\n') == NULL);
	printf("     %s\n", why);
}

/* What ntdll says of the device that the code asks for, as it says it. */
static void ntdll_says_that_there_is_no_such_device(void)
{
	static const char device[] = "\\Device\\xdp";
	uint16_t text[sizeof(device)];
	struct nt_unicode_string name = {.text = text, .len_bytes = 2 * (sizeof(device) - 1)};
	struct nt_object_attributes attributes = {.len_bytes = sizeof(attributes),
						  .name = &name,
						  .attributes = NT_OBJ_CASE_INSENSITIVE};
	struct nt_io_status io_status;
	void *handle = NULL;

	for (size_t i = 0; i < sizeof(device); i++)
		text[i] = (uint8_t)device[i];
	name.cap_bytes = name.len_bytes;
	T_EQ(winxdp_ntdll.create_file(&handle, (uint32_t)NT_GENERIC_READ_WRITE_SYNCHRONIZE,
				      &attributes, &io_status, NULL, 0, NT_SHARE_READ_WRITE,
				      NT_FILE_CREATE, 0, NULL, 0),
	     NT_OBJECT_NAME_NOT_FOUND);
}

/* Through the whole of it: an endpoint on a named adapter. */
static void an_endpoint_on_an_adapter_that_is_not_there_says_so(void)
{
	struct qx_config cfg = {.local = {.family = QX_IPV4, .ip = {127, 0, 0, 1}},
				.interface = "no such one",
				.socket_fd = -1};
	char why[QX_WHY_BYTES] = "";
	struct qx_datapath *dp;

	T_EQ(qx_open(&dp, &cfg, why), -ENODEV);
	T_CHECK(strstr(why, "Get-NetAdapter") != NULL);
	/* And without an adapter it works, over sockets. */
	cfg.interface[0] = 0;
	T_EQ(qx_open(&dp, &cfg, why), 0);
	qx_close(dp);
}

/* Names and indices of adapters are Windows' to give. */
static void adapters_are_found_by_index_and_described(void)
{
	struct winxdp_adapter adapter;
	char why[QX_WHY_BYTES], index[16];
	uint32_t found = 0;

	for (uint32_t i = 1; i < 64; i++) {
		int err;

		snprintf(index, sizeof(index), "%u", i);
		why[0] = 0;
		err = adapter_find(&adapter, index, why);
		T_CHECK(err == 0 || err == -ENODEV || err == -EOPNOTSUPP);
		T_CHECK(err == 0 || strlen(why) > 20);
		if (err)
			continue;
		T_EQ(adapter.ifindex, i);
		T_CHECK(adapter.mtu_bytes >= 576);
		found++;
	}
	printf("     %u Ethernet adapters here\n", found);
}

static const struct t_case cases[] = {
	{"an absent driver is one clear line", an_absent_driver_is_one_clear_line},
	{"ntdll says that there is no such device", ntdll_says_that_there_is_no_such_device},
	{"an endpoint on an adapter that is not there says so",
	 an_endpoint_on_an_adapter_that_is_not_there_says_so},
	{"adapters are found by index and described",
	 adapters_are_found_by_index_and_described},
};

T_MAIN(cases)
