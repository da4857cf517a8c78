"""What a server has counted, for Prometheus (docs/asgi.md lists the names)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from quicxdp.errors import UnavailableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from prometheus_client.core import Metric

    from .hub import Hub
    from .types import App

# Of `Counts`: the name of the metric and what it says.
_COUNTERS = {
    "connections": "QUIC connections that were opened",
    "requests": "HTTP requests of all protocols, WebSockets over TCP left out",
    "websockets": "WebSockets of all protocols",
    "refused_busy": "requests answered with 503 by --limit-concurrency",
    "disconnects": "requests over HTTP/3 whose client went before it had its answer",
    "request_bytes": "content of requests of all protocols",
    "response_bytes": "content of responses of all protocols",
    "request_seconds": "time from head of the request to the end of the application",
}


def require() -> None:
    """Find out whether prometheus_client is installed.

    Raises:
        UnavailableError: it is not, with what to install.
    """
    try:
        import prometheus_client  # noqa: F401, PLC0415  (optional)
    except ImportError:
        raise UnavailableError(
            "--metrics-port needs prometheus_client: pip install 'quicxdp[asgi]'"
        ) from None


class _Collector:
    """Reads the counters when somebody asks."""

    def __init__(self, hub: Hub, transports: Sequence[asyncio.BaseTransport]) -> None:
        self._hub = hub
        self._transports = transports

    def collect(self) -> Iterable[Metric]:
        """Return all metrics."""
        yield from self._http()
        yield from self._datapath()

    def _http(self) -> Iterable[Metric]:
        from prometheus_client.core import (  # noqa: PLC0415
            CounterMetricFamily,
            GaugeMetricFamily,
        )

        hub = self._hub
        for name, text in _COUNTERS.items():
            value = getattr(hub.counts, name)
            yield CounterMetricFamily(f"quicxdp_{name}", text, value=value)
        responses = CounterMetricFamily(
            "quicxdp_responses",
            "responses by HTTP version and class of status; none: broken off before one",
            labels=("http_version", "status"),
        )
        for (version, digit), value in hub.counts.responses.items():
            responses.add_metric((version, f"{digit}xx" if digit else "none"), value)
        yield responses
        yield GaugeMetricFamily(
            "quicxdp_open_connections", "QUIC connections", value=len(hub.connections)
        )
        yield GaugeMetricFamily(
            "quicxdp_active_requests", "applications that run", value=hub.active_cnt
        )

    def _datapath(self) -> Iterable[Metric]:
        from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415

        lanes = CounterMetricFamily(
            "quicxdp_lane",
            "what a lane has moved; docs/statistics.md explains each counter",
            labels=("address", "lane", "counter"),
        )
        drops = CounterMetricFamily(
            "quicxdp_drops",
            "datagrams that were dropped, and why",
            labels=("address", "reason"),
        )
        for transport in self._transports:
            host, port = transport.get_extra_info("sockname")[:2]
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            stats = transport.get_extra_info("quicxdp").stats()
            for lane, counters in stats.lanes.items():
                for name, value in dataclasses.asdict(counters).items():
                    lanes.add_metric((address, lane, name), value)
            for reason, value in stats.drops.items():
                drops.add_metric((address, reason), value)
        yield lanes
        yield drops


def metrics_app(hub: Hub, transports: Sequence[asyncio.BaseTransport]) -> App:
    """Return an application that answers with all metrics."""
    from prometheus_client import CollectorRegistry, make_asgi_app  # noqa: PLC0415

    registry = CollectorRegistry()
    registry.register(_Collector(hub, transports))
    app: App = make_asgi_app(registry)
    return app
