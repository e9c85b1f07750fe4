from dataclasses import replace

from proxy.ops import metrics_endpoints
from proxy.ops.metrics_endpoints import endpoint_metrics
from proxy.ops.stats import EndpointReading, UpstreamReading

SHOP = UpstreamReading("shop", "2 endpoints", 0, 0, 0, {})


def _samples(*upstreams: UpstreamReading) -> dict[tuple[str, str, str], float]:
    return {
        (sample.name, sample.labels["upstream"], sample.labels["endpoint"]): sample.value
        for family in endpoint_metrics(upstreams)
        for sample in family.samples
    }


def test_an_upstream_without_a_choice_has_none() -> None:
    assert _samples(SHOP) == {}


def test_each_endpoint_is_told_by_its_address() -> None:
    one = EndpointReading("10.0.0.1:80", 3, 7, 2, "ejected", 4.0, "answered 500")
    two = EndpointReading("10.0.0.2:80", 1, 0, 0, "returning")
    found = _samples(replace(SHOP, endpoints=(one, two)))
    assert found == {
        ("planb_endpoint_requests_in_flight", "shop", "10.0.0.1:80"): 3,
        ("planb_endpoint_requests_in_flight", "shop", "10.0.0.2:80"): 1,
        ("planb_endpoint_ejected", "shop", "10.0.0.1:80"): 1,
        ("planb_endpoint_ejected", "shop", "10.0.0.2:80"): 0,
        ("planb_endpoint_ejections_total", "shop", "10.0.0.1:80"): 2,
        ("planb_endpoint_ejections_total", "shop", "10.0.0.2:80"): 0,
        ("planb_endpoint_failures_total", "shop", "10.0.0.1:80"): 7,
        ("planb_endpoint_failures_total", "shop", "10.0.0.2:80"): 0,
    }


def test_more_than_can_be_shown_are_summed_up() -> None:
    some = [EndpointReading(f"10.0.0.1:{port}", 1, 2, 1, "ejected") for port in range(250)]
    many = [replace(SHOP, name=f"shop-{number}", endpoints=tuple(some)) for number in range(5)]
    found = _samples(*many)
    assert len(found) == 4 * (metrics_endpoints.MOST_ROWS + 1)
    assert found["planb_endpoint_ejected", "other", "other"] == 250
    assert found["planb_endpoint_failures_total", "other", "other"] == 500
