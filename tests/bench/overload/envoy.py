"""Envoy before the shop: its adaptive concurrency filter, and its rate limit."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench.envoy import Json, bootstrap_of, run_envoy
from tests.bench.overload.shop import CAPACITY
from tests.bench.server_process import Running, free_port

_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}

# The example of the filter's documentation.
_DOCUMENTED: Json = {
    "sample_aggregate_percentile": {"value": 90},
    "concurrency_limit_params": {"concurrency_update_interval": "0.1s"},
    "min_rtt_calc_params": {"jitter": {"value": 10}, "interval": "60s", "request_count": 50},
}
# The percentile is the median, so that a few slow answers don't close the door; the best latency
# is measured more often, with fewer requests, and without throttling down to three in flight.
_TUNED: Json = {
    "sample_aggregate_percentile": {"value": 50},
    "concurrency_limit_params": {
        "concurrency_update_interval": "0.05s",
        "max_concurrency_limit": 200,
    },
    "min_rtt_calc_params": {
        "jitter": {"value": 10},
        "interval": "10s",
        "request_count": 25,
        "min_concurrency": 10,
        "buffer": {"value": 10},
    },
}


@contextlib.asynccontextmanager
async def adaptive_documented(directory: Path, upstream_port: int) -> AsyncIterator[Running]:
    """The adaptive concurrency filter as its documentation shows it."""
    async with _envoy(directory, upstream_port, _adaptive(_DOCUMENTED)) as running:
        yield running


@contextlib.asynccontextmanager
async def adaptive_tuned(directory: Path, upstream_port: int) -> AsyncIterator[Running]:
    """The same, tuned for this shop."""
    async with _envoy(directory, upstream_port, _adaptive(_TUNED)) as running:
        yield running


@contextlib.asynccontextmanager
async def local_ratelimit(directory: Path, upstream_port: int) -> AsyncIterator[Running]:
    """80 % of the capacity, set by hand; a bucket of a tenth of a second."""
    tokens = round(0.08 * CAPACITY)
    bucket = {"max_tokens": tokens, "tokens_per_fill": tokens, "fill_interval": "0.1s"}
    limit: Json = {
        "name": "envoy.filters.http.local_ratelimit",
        "typed_config": {
            "@type": f"{_HTTP}.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "shop",
            "token_bucket": bucket,
            "filter_enabled": _ALWAYS,
            "filter_enforced": _ALWAYS,
        },
    }
    async with _envoy(directory, upstream_port, limit) as running:
        yield running


def _adaptive(gradient: Json) -> Json:
    return {
        "name": "envoy.filters.http.adaptive_concurrency",
        "typed_config": {
            "@type": f"{_HTTP}.adaptive_concurrency.v3.AdaptiveConcurrency",
            "gradient_controller_config": gradient,
            "enabled": {"default_value": True, "runtime_key": "adaptive_concurrency.enabled"},
        },
    }


@contextlib.asynccontextmanager
async def _envoy(directory: Path, upstream_port: int, limit: Json) -> AsyncIterator[Running]:
    port = free_port()
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_HTTP}.router.v3.Router", "suppress_envoy_headers": True},
    }
    manager: Json = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network"
            ".http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "storefront",
            "use_remote_address": True,
            "generate_request_id": False,  # no other contender makes one
            "http_filters": [limit, router],
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": "shop",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "shop"}}],
                    }
                ]
            },
        },
    }
    bootstrap = bootstrap_of(port, upstream_port, manager)
    async with run_envoy(directory, bootstrap, port) as running:
        yield running
