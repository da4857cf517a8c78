/* adapter_win.c: see adapter_win.h. */
#include "adapter_win.h"

#include <winsock2.h>
#include <ws2ipdef.h>

/* After winsock2.h and ws2ipdef.h, whose types it uses. */
#include <iphlpapi.h>

#include <errno.h>
#include <netioapi.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"
#include "why.h"

/* Indices are small; anything that is all digits is meant as one. */
static bool index_of(const char *name, uint32_t *index)
{
	char *end;
	unsigned long number = strtoul(name, &end, 10);

	if (*name == 0 || *end != 0 || number > UINT32_MAX)
		return false;
	*index = (uint32_t)number;
	return true;
}

static bool is_meant(const MIB_IF_ROW2 *row, const char *name)
{
	WCHAR wide[IF_MAX_STRING_SIZE + 1];
	uint32_t index;

	if (index_of(name, &index))
		return row->InterfaceIndex == index;
	return MultiByteToWideChar(CP_UTF8, 0, name, -1, wide, IF_MAX_STRING_SIZE + 1) > 0 &&
	       _wcsicmp(row->Alias, wide) == 0;
}

static int local_addrs(uint32_t ifindex, struct qx_addr *out, uint32_t max)
{
	MIB_UNICASTIPADDRESS_TABLE *table;
	uint32_t cnt = 0;

	if (GetUnicastIpAddressTable(AF_UNSPEC, &table) != NO_ERROR)
		return -EIO;
	for (ULONG i = 0; i < table->NumEntries && cnt < max; i++) {
		const MIB_UNICASTIPADDRESS_ROW *row = &table->Table[i];

		if (row->InterfaceIndex != ifindex)
			continue;
		if (row->Address.si_family == AF_INET)
			addr_from_ipv4(&out[cnt++], &row->Address.Ipv4.sin_addr, 0);
		else if (row->Address.si_family == AF_INET6)
			addr_from_ipv6(&out[cnt++], &row->Address.Ipv6.sin6_addr, 0, ifindex);
	}
	FreeMibTable(table);
	return (int)cnt;
}

static int describe(struct winxdp_adapter *out, const MIB_IF_ROW2 *row, const char *name,
		    char *why)
{
	if (row->Type != IF_TYPE_ETHERNET_CSMACD ||
	    row->PhysicalAddressLength != sizeof(out->mac)) {
		why_set(why, "%s: not an Ethernet adapter; run without an interface", name);
		return -EOPNOTSUPP;
	}
	*out = (struct winxdp_adapter){.ifindex = row->InterfaceIndex,
				       .mtu_bytes = row->Mtu,
				       .local_addrs = local_addrs};
	memcpy(out->mac, row->PhysicalAddress, sizeof(out->mac));
	return 0;
}

int adapter_find(struct winxdp_adapter *out, const char *name, char *why)
{
	MIB_IF_TABLE2 *table;
	int err = -ENODEV;

	if (GetIfTable2(&table) != NO_ERROR) {
		why_set(why, "%s: Windows would not say which adapters there are", name);
		return -EIO;
	}
	for (ULONG i = 0; i < table->NumEntries && err == -ENODEV; i++)
		if (is_meant(&table->Table[i], name))
			err = describe(out, &table->Table[i], name, why);
	FreeMibTable(table);
	if (err == -ENODEV)
		why_set(why,
			"%s: there is no such adapter; Get-NetAdapter lists names and "
			"indices (ifIndex), and either may be given",
			name);
	return err;
}
