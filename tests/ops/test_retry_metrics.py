from proxy.ops.retry_metrics import retry_metrics
from proxy.ops.stats import RetriesReading, UpstreamReading

RESULTS = {"answered": 5, "failed": 4, "held_back": 3, "over_budget": 2}


def test_retries_are_told_by_result_where_there_may_be_any() -> None:
    of_shop = RetriesReading(RESULTS, 1.5)
    upstreams = [
        UpstreamReading("shop", "127.0.0.1:1", 0, 0, 0, {}, retries=of_shop),
        UpstreamReading("coupons", "127.0.0.1:2", 0, 0, 0, {}),
    ]
    retries, not_sent, left = retry_metrics(upstreams)
    assert [(each.name, each.labels, each.value) for each in retries.samples] == [
        ("planb_retries_total", {"upstream": "shop", "result": "answered"}, 5),
        ("planb_retries_total", {"upstream": "shop", "result": "failed"}, 4),
    ]
    assert [(each.name, each.labels, each.value) for each in not_sent.samples] == [
        ("planb_retries_not_sent_total", {"upstream": "shop", "reason": "held_back"}, 3),
        ("planb_retries_not_sent_total", {"upstream": "shop", "reason": "over_budget"}, 2),
    ]
    assert [(each.name, each.labels, each.value) for each in left.samples] == [
        ("planb_retry_budget_left", {"upstream": "shop"}, 1.5)
    ]
