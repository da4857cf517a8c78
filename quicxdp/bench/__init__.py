"""What a benchmark consists of, besides the load generator and the command.

    meters.py      clocks of processes and of the machine, memory, medians
    machine.py     where and with what it was measured
    namespaces.py  network namespaces of our own, which end with their processes
    place.py       where server and client run: cores, namespaces, and what is amiss there
    child.py       a process that answers in lines of JSON
    session.py     one server, one load generator, repetitions of a run
    netem.py       what is to happen to packets on their way
    units.py       what costs are divided by
    document.py    what `quicxdp bench --json` prints
    plot.py        pictures of such documents

The scripts of bench/ use the same.
"""
