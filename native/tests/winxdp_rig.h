/* winxdp_rig.h: a bare NIC of XDP for Windows over the simulator, and the check that nothing
 * is left of anything. */
#ifndef QX_WINXDP_RIG_H
#define QX_WINXDP_RIG_H

#include <errno.h>

#include "sim_windows.h"
#include "t.h"

static char rig_why[QX_WHY_BYTES];

static inline int rig_open(struct qx_nic **out, uint32_t rx_cnt, uint32_t tx_cnt)
{
	const struct qx_nic_config cfg = {
		.interface = "Ethernet 2", .rx_frame_cnt = rx_cnt, .tx_frame_cnt = tx_cnt};
	struct winxdp_adapter adapter = sim_adapter(0);

	memset(rig_why, 'x', sizeof(rig_why));
	return winxdp_open(out, &sim_nt, &adapter, &cfg, rig_why);
}

/* rig_refused opens in vain: with this error, and a sentence that holds a word. */
static inline void rig_refused(int code, const char *word)
{
	struct qx_nic *nic = NULL;
	int err = rig_open(&nic, 16, 16);

	if (err == 0)
		nic->ops->close(nic);
	T_EQ(err, code);
	T_CHECK(memchr(rig_why, 0, sizeof(rig_why)) != NULL);
	if (!strstr(rig_why, word))
		T_FAIL("\"%s\" does not say \"%s\"", rig_why, word);
}

static int rig_leaks;

/* After every test: no handle, wait, ring or locked page is left in the driver, and it saw
 * nothing that a correct caller does not do. */
static inline void rig_after_each(void)
{
	struct sim_held held = sim_held();

	if (held.handles || held.programs || held.waits || held.ring_bytes ||
	    held.locked_bytes || sim_counts.violations) {
		printf("FAIL it left %u handles, %u programs, %u waits, %llu ring bytes, %llu "
		       "locked bytes, %llu violations\n",
		       held.handles, held.programs, held.waits,
		       (unsigned long long)held.ring_bytes,
		       (unsigned long long)held.locked_bytes,
		       (unsigned long long)sim_counts.violations);
		rig_leaks = 1;
	}
}

#define RIG_MAIN(cases)                                                                      \
	int main(int argc, char **argv)                                                      \
	{                                                                                    \
		t_after_each = rig_after_each;                                               \
		return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv) |         \
		       rig_leaks;                                                            \
	}

#endif
