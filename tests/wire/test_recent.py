from proxy.wire.recent import Recent


def test_what_is_asked_for_now_and_then_survives_a_flood_of_others() -> None:
    recent: Recent[int, str] = Recent(3)
    recent.keep(-1, "asked for")
    recent.keep(-2, "not asked for")
    for key in range(100):
        recent.keep(key, "new")
        if key % 2:
            assert recent.find(-1) == "asked for"
    assert recent.find(-2) is None
    assert recent.find(99) == "new"


def test_no_more_than_two_generations_are_kept() -> None:
    recent: Recent[int, int] = Recent(10)
    for key in range(1000):
        recent.keep(key, key)
        assert len(recent.latest) <= 10
    known = [key for key in range(1000) if recent.find(key) is not None]
    assert 10 <= len(known) <= 20


def test_the_latest_hold_what_was_found_last() -> None:
    recent: Recent[int, int] = Recent(1)
    recent.keep(1, 10)
    recent.keep(2, 20)
    assert recent.latest == {2: 20}
    assert recent.find(1) == 10
    assert recent.latest == {1: 10}
