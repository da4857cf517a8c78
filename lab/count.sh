#!/bin/bash
# What a counting guest runs: every way to send and to receive, one process each.
#
#   count.sh COUNT OUTPUT     COUNT: the program; OUTPUT gets lines of "tx MODE {...}"
#
# Writes no more than it has counted: a mode that fails ends the script.
set -eu
count=$1
output=$2
nobody=10.77.0.9

place() { # place NETNS NIC ADDRESS: a NIC in a namespace, with nothing that speaks by itself
	ip netns add "$1"
	ip netns exec "$1" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6'
	ip link set "$2" netns "$1"
	ip -netns "$1" link set lo up
	ip -netns "$1" link set "$2" up
	ip -netns "$1" address add "$3/24" dev "$2"
}
known() { # known NETNS NIC ADDRESS MAC
	ip -netns "$1" neighbour add "$3" lladdr "$4" dev "$2" nud permanent
}

"$count" check >"$output"
place a eth0 10.77.0.1
place b eth1 10.77.0.2
known a eth0 "$nobody" 02:00:00:00:00:99
known a eth0 10.77.0.2 02:00:00:00:00:0b
known b eth1 10.77.0.1 02:00:00:00:00:0a
# QEMU's igb says that it cuts superframes of UDP, and does not.
ip netns exec a ethtool -K eth0 tx-udp-segmentation off || true

for mode in sendto sendmmsg gso xdp_copy xdp_zerocopy; do
	counted=$("$count" tx "$mode" a eth0 "$nobody")
	echo "tx $mode $counted" >>"$output"
done
for mode in recvmmsg gro xdp_copy xdp_zerocopy; do
	counted=$("$count" rx "$mode" a eth0 "$nobody" b eth1 10.77.0.2)
	echo "rx $mode $counted" >>"$output"
done
