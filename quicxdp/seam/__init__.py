"""Where aioquic and the engine in C meet.

Three objects of aioquic's QuicConnection are replaced, and its own code keeps running:

    _cryptos[ONE_RTT], [ZERO_RTT]   crypto.EnginePair       keys; packets up and down
    _spaces[ONE_RTT]                space.EngineSpace       reads ask C, writes go nowhere
    _loss                           recovery.JointRecovery  one RTT, one window

Frames that aioquic wants to send in 1-RTT packets are gathered by collector.Collector
and wait for their fate in control.ControlTable.  core, receiving and sending are the
layers of the connection itself; quicxdp.connection has the top one.

Invariant: no 1-RTT or 0-RTT key is ever here, and every 1-RTT or 0-RTT packet takes its
number from C, so that no (key, packet number) pair is sealed twice.
"""
