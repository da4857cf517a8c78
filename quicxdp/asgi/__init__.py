"""An ASGI server over HTTP/3, with a companion for HTTP/1.1 and HTTP/2 over TCP.

    loading -> an application by its name       lifespan -> its startup and shutdown
    scope, exchange -> one request              websocket -> one WebSocket
    connection -> one QUIC connection           server -> everything together

Applications see what the ASGI specification says (https://asgi.readthedocs.io), version
3.0; nothing of QUIC shows but the scope's extensions.
"""
