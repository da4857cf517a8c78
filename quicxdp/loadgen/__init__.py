"""A load generator for HTTP/3 servers, on quicxdp's own engine as the client.

One process, one UDP endpoint, many connections and streams:

    plan.py        what is asked for, from words such as "requests --seconds=2"
    messages.py    the bytes of requests, written once; answers read as cheaply as can be
    endpoint.py    the endpoint and its connections
    load.py        closed and open loop over them
    report.py      what a run says at its end
    failures.py    how it can go wrong

A request costs the client a few microseconds of Python, so that most servers are busier
than it is; where they are not, the report says so (`client_was_limit`).
"""
