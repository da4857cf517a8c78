/* test_turn.c: the turn that is one call, and when it is not. */
#include "hosts.h"

static const struct qx_link_config lan = {.delay_ns = MS_NS};

static uint64_t timer_ns(uint32_t host)
{
	return hosts[host].e->armed_ns;
}

static int turn(uint32_t host, uint64_t alarm_ns)
{
	qx_link_advance(link_, host_now_ns);
	return qx_engine_turn(hosts[host].e, host_now_ns, alarm_ns);
}

/* Copied, so that no RELEASED comes. */
static void write_some(uint32_t host, uint32_t bytes)
{
	T_EQ(qx_stream_write(hosts[host].conns[0].c, 0, host_data, bytes, 0, 0), 0);
}

/* A sender of much hears of nothing but ACKs: its turns are one call each. */
static void acks_let_more_go_without_another_call(void)
{
	uint64_t before;

	hosts_open(lan, 1, 0);
	for (int i = 0; i < 10; i++)
		write_some(HOST_CLIENT, HOST_CHUNK_BYTES);
	host_turn(HOST_CLIENT);
	host_now_ns += MS_NS;
	qx_link_advance(link_, host_now_ns);
	host_turn(HOST_SERVER);
	before = host_stats(HOST_CLIENT, 0).tx_packets;
	T_CHECK(before > 0);
	host_now_ns += MS_NS;
	T_EQ(turn(HOST_CLIENT, QX_NEVER_NS) & QX_TURN_EVENTS, QX_TURN_EVENTS);
	host_hear(&hosts[HOST_CLIENT]); /* the first ACK of all is told */
	T_CHECK(qx_engine_finish(hosts[HOST_CLIENT].e, host_now_ns, QX_NEVER_NS) >= 0);
	before = host_stats(HOST_CLIENT, 0).tx_packets;
	for (int i = 0; i < 4; i++) {
		host_now_ns += MS_NS;
		qx_link_advance(link_, host_now_ns);
		host_turn(HOST_SERVER);
		host_now_ns += MS_NS;
		T_EQ(turn(HOST_CLIENT, QX_NEVER_NS) & QX_TURN_EVENTS, 0);
	}
	T_CHECK(host_stats(HOST_CLIENT, 0).tx_packets > before);
	hosts_close();
}

/* What the application answers must leave in the same turn. */
static void news_leave_the_sending_to_the_caller(void)
{
	hosts_open(lan, 1, 0);
	write_some(HOST_CLIENT, 1000);
	host_turn(HOST_CLIENT);
	host_now_ns += MS_NS;
	T_EQ(turn(HOST_SERVER, QX_NEVER_NS), QX_TURN_EVENTS);
	T_EQ(host_stats(HOST_SERVER, 0).tx_packets, 0);
	host_hear(&hosts[HOST_SERVER]);
	write_some(HOST_SERVER, 1000);
	T_EQ(qx_engine_finish(hosts[HOST_SERVER].e, host_now_ns, QX_NEVER_NS), 0);
	T_EQ(host_stats(HOST_SERVER, 0).tx_packets, 1);
	hosts_close();
}

/* Deadlines are put off with nearly every packet; the kernel's timer is not. */
static void a_timer_that_is_early_enough_stays(void)
{
	uint64_t first_ns;

	hosts_open(lan, 1, 0);
	T_EQ(turn(HOST_CLIENT, QX_NEVER_NS), 0);
	T_EQ(timer_ns(HOST_CLIENT), QX_NEVER_NS);
	write_some(HOST_CLIENT, 1000);
	T_EQ(turn(HOST_CLIENT, QX_NEVER_NS), 0);
	first_ns = timer_ns(HOST_CLIENT);
	T_EQ(first_ns, qx_engine_deadline(hosts[HOST_CLIENT].e));
	host_now_ns += MS_NS;
	write_some(HOST_CLIENT, 1000);
	T_EQ(turn(HOST_CLIENT, QX_NEVER_NS), 0);
	T_CHECK(qx_engine_deadline(hosts[HOST_CLIENT].e) > first_ns);
	T_EQ(timer_ns(HOST_CLIENT), first_ns);
	/* Once it has passed, the next one counts. */
	host_now_ns = first_ns;
	T_EQ(turn(HOST_CLIENT, QX_NEVER_NS) & QX_TURN_EVENTS, 0);
	T_EQ(timer_ns(HOST_CLIENT), qx_engine_deadline(hosts[HOST_CLIENT].e));
	T_CHECK(timer_ns(HOST_CLIENT) > first_ns);
	hosts_close();
}

/* Handshakes and idle timeouts are aioquic's, and have the same timer. */
static void the_callers_alarm_counts_too(void)
{
	hosts_open(lan, 1, 0);
	T_EQ(turn(HOST_CLIENT, host_now_ns + 5), 0);
	T_EQ(timer_ns(HOST_CLIENT), host_now_ns + 5);
	T_EQ(turn(HOST_CLIENT, host_now_ns + 3), 0);
	T_EQ(timer_ns(HOST_CLIENT), host_now_ns + 3);
	T_EQ(turn(HOST_CLIENT, host_now_ns + 9), 0);
	T_EQ(timer_ns(HOST_CLIENT), host_now_ns + 3);
	hosts_close();
}

/* The kernel said no to one datagram: whoever sent it wants to know. */
static void errors_are_pointed_out(void)
{
	static const uint8_t huge[QX_BATCH_MAX * 64];
	const struct qx_send_item item = {.len_bytes = sizeof(huge)};
	const struct qx_path path = {.peer = addrs[HOST_SERVER]};
	struct qx_error error;

	hosts_open(lan, 1, 0);
	T_EQ(qx_send(ends[HOST_CLIENT], huge, &item, 1, &path, 1), 1);
	T_EQ(qx_error_cnt(ends[HOST_CLIENT]), 1);
	T_EQ(turn(HOST_CLIENT, QX_NEVER_NS), QX_TURN_ERRORS);
	T_EQ(qx_next_error(ends[HOST_CLIENT], &error), 1);
	T_EQ(error.code, EMSGSIZE);
	T_EQ(turn(HOST_CLIENT, QX_NEVER_NS), 0);
	hosts_close();
}

static void without_a_datapath_turns_are_refused(void)
{
	struct qx_engine *e;

	T_EQ(qx_engine_open(&e, NULL, 8), 0);
	T_EQ(qx_engine_turn(e, 1, QX_NEVER_NS), -EINVAL);
	T_EQ(qx_engine_finish(e, 1, QX_NEVER_NS), -EINVAL);
	qx_engine_close(e);
}

static const struct t_case cases[] = {
	{"ACKs let more go without another call", acks_let_more_go_without_another_call},
	{"news leave the sending to the caller", news_leave_the_sending_to_the_caller},
	{"a timer that is early enough stays", a_timer_that_is_early_enough_stays},
	{"the caller's alarm counts too", the_callers_alarm_counts_too},
	{"errors are pointed out", errors_are_pointed_out},
	{"without a datapath turns are refused", without_a_datapath_turns_are_refused},
};

T_MAIN(cases)
