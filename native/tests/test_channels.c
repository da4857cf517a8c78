/* test_channels.c: what ethtool's notifications are understood to say, and what is left when
 * calls fail. */
#define _GNU_SOURCE
#include "channels_netlink.h"

#include "channel_messages.h"
#include "faults.h"
#include "t.h"

static uint32_t understood(const struct messages *m)
{
	return channels_parse(m->bytes, m->len_bytes, ETHTOOL_FAMILY, MSG_IFINDEX);
}

/* Drivers have receive channels, combined ones, or both; each has a queue. */
static void receive_and_combined_channels_have_a_queue_each(void)
{
	struct messages m = {.len_bytes = 0};

	msg_channels(&m, MSG_IFINDEX, 0, 8);
	T_EQ(understood(&m), 8);
	msg_channels(&m, MSG_IFINDEX, 3, 0);
	T_EQ(understood(&m), 3); /* the last word counts */
	msg_channels(&m, MSG_IFINDEX, 2, 4);
	T_EQ(understood(&m), 6);
	msg_channels(&m, MSG_IFINDEX + 1, 0, 9);
	T_EQ(understood(&m), 6); /* another interface */
}

/* A number that cannot be must not make a server open its interface again and again. */
static void what_says_nothing_is_nothing(void)
{
	struct messages m = {.len_bytes = 0};

	T_EQ(understood(&m), 0);
	msg_channels(&m, MSG_IFINDEX, 0, 0);
	msg_channels(&m, MSG_IFINDEX, UINT32_MAX, 0);
	msg_channels(&m, MSG_IFINDEX, UINT32_MAX, 1);
	msg_generic(&m, ETHTOOL_FAMILY, ETHTOOL_MSG_RINGS_NTF);
	msg_generic(&m, ETHTOOL_FAMILY + 1, ETHTOOL_MSG_CHANNELS_NTF);
	T_EQ(understood(&m), 0);
	for (uint32_t cut = 0; cut < m.len_bytes; cut++)
		T_EQ(channels_parse(m.bytes, cut, ETHTOOL_FAMILY, MSG_IFINDEX), 0);
}

static void the_monitor_group_is_found_among_others(void)
{
	struct messages m = {.len_bytes = 0};
	struct channels_group g;

	msg_family(&m);
	channels_parse_group(m.bytes, m.len_bytes, &g);
	T_EQ(g.family, ETHTOOL_FAMILY);
	T_EQ(g.group, ETHTOOL_GROUP);
	for (uint32_t cut = 0; cut < m.len_bytes; cut++) {
		channels_parse_group(m.bytes, cut, &g);
		T_EQ(g.group, 0);
	}
}

/* Whichever call fails, opening says so and leaves nothing; a failing receive says that
 * something may have been missed. */
static void a_failure_at_any_call_leaves_nothing(void)
{
	int fds = faults_open_fds(), err, failed = 0;
	struct qx_channels *c = NULL;
	uint64_t syscalls = 0;
	uint32_t nth = 0;

	do {
		faults_calls = 0;
		faults_at = ++nth;
		err = channels_open(&c, 1);
		faults_at = 0;
		failed += err < 0;
		if (err == 0 && nth > faults_calls)
			break;
		T_CHECK(err < 0);
		T_EQ(faults_open_fds(), fds);
	} while (nth < 100);
	T_EQ(failed, 5); /* memory, socket, question, answer, joining */
	T_EQ(channels_read(c, &syscalls), 0);
	T_EQ(syscalls, 1);
	faults_calls = 0;
	faults_at = 1;
	faults_errno = ENOBUFS;
	T_EQ(channels_read(c, &syscalls), CHANNELS_LOST);
	faults_at = 0;
	faults_errno = EIO;
	channels_close(c);
	T_EQ(faults_open_fds(), fds);
}

static const struct t_case cases[] = {
	{"receive and combined channels have a queue each",
	 receive_and_combined_channels_have_a_queue_each},
	{"what says nothing is nothing", what_says_nothing_is_nothing},
	{"the monitor group is found among others", the_monitor_group_is_found_among_others},
	{"a failure at any call leaves nothing", a_failure_at_any_call_leaves_nothing},
};

int main(int argc, char **argv)
{
	return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
