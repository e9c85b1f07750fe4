"""Envoy with the rule set: the local rate limit filter, set up for each route."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench.machine import PROXY_CORE, find_tool
from tests.bench.rule_set import GENEROUS, PAGE, ROUTES, SAMPLED_ONE_IN, TIGHT
from tests.bench.server_process import Running, free_port, serving

_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_LOCAL_RATE_LIMIT = f"{_HTTP}.local_ratelimit.v3.LocalRateLimit"
_ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}

Json = dict[str, object]


@contextlib.asynccontextmanager
async def envoy(directory: Path, upstream_port: int) -> AsyncIterator[Running]:
    """Envoy with the rule set."""
    port = free_port()
    bootstrap = bootstrap_of(port, upstream_port, _connection_manager(directory))
    async with run_envoy(directory, bootstrap, port) as running:
        yield running


@contextlib.asynccontextmanager
async def run_envoy(directory: Path, bootstrap: Json, port: int) -> AsyncIterator[Running]:
    """Envoy with one worker thread and a bootstrap whose listener is on `port`."""
    config = directory / "envoy.json"
    config.write_text(json.dumps(bootstrap, indent=1))
    command = [find_tool("envoy"), "-c", str(config), "--concurrency", "1"]
    # Without this two Envoys on a machine would take each other for parent and child.
    command += ["--disable-hot-restart", "--log-level", "error"]
    async with serving(command, port, PROXY_CORE, directory / "output.log") as running:
        yield running


def bootstrap_of(port: int, upstream_port: int, connection_manager: Json) -> Json:
    """One listener with one filter, and the cluster `shop`."""
    return {
        "admin": {"address": _address(free_port())},
        "static_resources": {
            "listeners": [
                {
                    "name": "storefront",
                    "address": _address(port),
                    "filter_chains": [{"filters": [connection_manager]}],
                }
            ],
            "clusters": [
                {
                    "name": "shop",
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": "shop",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": _address(upstream_port)}}]}
                        ],
                    },
                }
            ],
        },
    }


def _connection_manager(directory: Path) -> Json:
    routes = [
        *(_route(f"/r{number}/", _limits(GENEROUS, per_client=True)) for number in range(ROUTES)),
        _route("/refused/", _limits(TIGHT, per_client=False)),
        _route("/refused-page/", _limits(TIGHT, per_client=False)),
        _route("/", None),
    ]
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network"
            ".http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "storefront",
            "use_remote_address": True,
            "generate_request_id": False,  # no other contender makes one
            "local_reply_config": {"mappers": [_page()]},
            "access_log": [_access_log(directory)],
            "http_filters": [
                {
                    "name": "envoy.filters.http.local_ratelimit",
                    "typed_config": {"@type": _LOCAL_RATE_LIMIT, "stat_prefix": "limits"},
                },
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {
                        "@type": f"{_HTTP}.router.v3.Router",
                        "suppress_envoy_headers": True,
                    },
                },
            ],
            "route_config": {
                "virtual_hosts": [{"name": "shop", "domains": ["*"], "routes": routes}]
            },
        },
    }


def _route(prefix: str, limits: Json | None) -> Json:
    route: Json = {"match": {"prefix": prefix}, "route": {"cluster": "shop"}}
    if limits is not None:
        route["typed_per_filter_config"] = {"envoy.filters.http.local_ratelimit": limits}
    return route


def _limits(per_second: int, *, per_client: bool) -> Json:
    bucket = {"max_tokens": per_second, "tokens_per_fill": per_second, "fill_interval": "1s"}
    limits: Json = {
        "@type": _LOCAL_RATE_LIMIT,
        "stat_prefix": "limits",
        "token_bucket": bucket,
        "filter_enabled": _ALWAYS,
        "filter_enforced": _ALWAYS,
    }
    if per_client:
        # A descriptor's entry without a value stands for every value: a bucket for each is made
        # when it is first seen.
        limits["rate_limits"] = [{"actions": [{"remote_address": {}}]}]
        limits["descriptors"] = [{"entries": [{"key": "remote_address"}], "token_bucket": bucket}]
        limits["max_dynamic_descriptors"] = 10_000
    return limits


def _page() -> Json:
    of_route = {"name": ":path", "string_match": {"prefix": "/refused-page/"}}
    return {
        "filter": {"header_filter": {"header": of_route}},
        "body": {"filename": str(PAGE)},
        "body_format_override": {
            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
            "content_type": "text/html; charset=utf-8",
        },
    }


def _access_log(directory: Path) -> Json:
    return {
        "name": "envoy.access_loggers.file",
        "filter": {
            "runtime_filter": {
                "runtime_key": "access_log.sampled",
                "percent_sampled": {"numerator": 100 // SAMPLED_ONE_IN, "denominator": "HUNDRED"},
            }
        },
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(directory / "access.log"),
        },
    }


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
