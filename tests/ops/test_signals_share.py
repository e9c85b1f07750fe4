from proxy.ops.signals_share import SAMPLES, Share


def test_a_share_is_that_of_the_last_samples() -> None:
    share = Share()
    assert share.take(100.0, 1000.0) is None
    assert share.take(101.0, 1004.0) == 0.25
    for step in range(1, SAMPLES + 1):
        last = share.take(101.0 + step, 1004.0 + step)
    assert last == 1.0


def test_nothing_is_said_while_nothing_grows() -> None:
    share = Share()
    share.take(1.0, 1.0)
    assert share.take(1.0, 1.0) is None


def test_counters_that_go_back_begin_anew() -> None:
    share = Share()
    share.take(100.0, 1000.0)
    assert share.take(0.0, 1001.0) is None
    assert share.take(0.5, 1002.0) == 0.5
    assert share.take(0.6, 5.0) is None
    assert share.take(0.7, 6.0) is not None
