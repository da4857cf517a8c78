#!/bin/busybox sh
# The guest's first process: loads modules, lays a throw-away layer over the host's root,
# runs the command that the host has left in the shared folder, and powers off.
#
# The host's root is read-only twice over: exported so, and mounted so.  What the guest
# writes goes to a tmpfs and is gone with it; the one folder that reaches the host is
# /run/lab, the run's own.
/bin/busybox mkdir -p /proc /sys /dev /host /layer /root
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do
	insmod "/modules/$module.ko" || echo "lab: insmod $module failed"
done </modules/order

share() { mount -t 9p -o "trans=virtio,version=9p2000.L,msize=524288,$3" "$1" "$2"; }
end() { # end STATUS...: tell the host and power off
	echo "lab: $*"
	sync
	poweroff -f
	sleep 60
}

share host /host ro,cache=loose || end "cannot mount the host's root"
mount -t tmpfs -o size=50% layer /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work root /root ||
	end "cannot lay a writable layer over the host's root"
for special in proc sys dev; do mount -o bind "/$special" "/root/$special"; done
mkdir -p /root/dev/shm /root/dev/pts
mount -t tmpfs shm /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t bpf bpf /root/sys/fs/bpf
mount -t tmpfs run /root/run
mkdir -p /root/run/lab /root/run/netns /root/run/tmp
share lab /root/run/lab cache=none,rw || end "cannot mount the run's folder"
ip link set lo up
echo "lab: ready"
chroot /root /bin/sh /run/lab/command
end "status $?"
