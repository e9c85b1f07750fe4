"""How old a kept answer is."""

from math import inf

from proxy.policy.stored_response import ENTRY_BYTES, StoredResponse


def response(age: float = 0.0, fresh_for: float = inf) -> StoredResponse:
    return StoredResponse(200, b"head", b"body", arrived_at=100.0, age=age, fresh_for=fresh_for)


def test_it_ages_from_what_it_was_when_it_came() -> None:
    assert response(age=5.0).age_at(103.5) == 8.5
    # A clock that goes back makes nothing younger.
    assert response(age=5.0).age_at(99.0) == 5.0


def test_it_is_fresh_for_as_long_as_both_the_rules_and_the_shop_let_it() -> None:
    assert response().left(2.0, 101.5) == 0.5
    assert response(fresh_for=1.0).left(2.0, 101.5) == -0.5
    assert response(fresh_for=60.0).left(2.0, 101.5) == 0.5


def test_its_size_is_that_of_all_of_it() -> None:
    assert response().size == 8 + ENTRY_BYTES


def test_no_age_is_larger_than_caches_can_read() -> None:
    assert response(age=1e12).age_at(101.0) == 2.0**31
