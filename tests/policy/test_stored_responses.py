"""Finding what was kept by the request that it answers."""

from proxy.policy.request import Request
from proxy.policy.snapshot import StoreSpec
from proxy.policy.stored_response import ENTRY_BYTES, StoredResponse
from proxy.policy.stored_responses import KEY_BYTES, StoredResponses, key_of

KEY = b"key"


def asking(*fields: tuple[bytes, bytes]) -> Request:
    return Request("GET", "shop.test", "/", b"", fields, b"@")


def answer(*vary: bytes) -> StoredResponse:
    return StoredResponse(200, b"", b"", arrived_at=0.0, age=0.0, fresh_for=0.0, vary=vary)


def test_one_that_does_not_vary_is_for_all() -> None:
    stored = StoredResponses(StoreSpec())
    one = answer()
    assert stored.keep(KEY, asking((b"Accept", b"a")), one) == KEY
    assert stored.find(KEY, asking()) is one
    assert stored.find(b"other", asking()) is None


def test_one_that_varies_is_for_requests_that_say_the_same() -> None:
    stored = StoredResponses(StoreSpec())
    one, other = answer(b"accept", b"x"), answer(b"accept", b"x")
    stored.keep(KEY, asking((b"Accept", b"a"), (b"X", b"1")), one)
    stored.keep(KEY, asking((b"Accept", b"b")), other)
    assert stored.find(KEY, asking((b"x", b"1"), (b"accept", b"a"))) is one
    assert stored.find(KEY, asking((b"ACCEPT", b"b"))) is other
    assert stored.find(KEY, asking((b"Accept", b"a"))) is None
    assert stored.find(KEY, asking((b"Accept", b"b"), (b"X", b""))) is None


def test_several_lines_are_one_list() -> None:
    stored = StoredResponses(StoreSpec())
    one = answer(b"accept")
    stored.keep(KEY, asking((b"Accept", b"a"), (b"Accept", b"b")), one)
    assert stored.find(KEY, asking((b"Accept", b"a, b"))) is one
    assert stored.find(KEY, asking((b"Accept", b"a"))) is None


def test_what_the_shop_says_last_tells_what_it_varies_with() -> None:
    stored = StoredResponses(StoreSpec())
    stored.keep(KEY, asking(), answer(b"accept"))
    last = answer(b"x")
    stored.keep(KEY, asking((b"Accept", b"a")), last)
    assert stored.find(KEY, asking((b"Accept", b"b"))) is last
    plain = answer()
    stored.keep(KEY, asking((b"X", b"1")), plain)
    assert stored.find(KEY, asking((b"X", b"2"))) is plain


def test_it_is_dropped_for_those_who_would_get_it() -> None:
    stored = StoredResponses(StoreSpec())
    stored.keep(KEY, asking((b"Accept", b"a")), answer(b"accept"))
    stored.keep(KEY, asking((b"Accept", b"b")), answer(b"accept"))
    full = stored.drop(KEY, asking((b"Accept", b"a")))
    assert full == stored.full_key(KEY, asking((b"Accept", b"a")))
    assert stored.find(KEY, asking((b"Accept", b"a"))) is None
    assert stored.find(KEY, asking((b"Accept", b"b"))) is not None


def test_every_key_has_the_same_length() -> None:
    stored = StoredResponses(StoreSpec())
    long = asking((b"Accept", bytes(10_000)))
    assert len(stored.keep(KEY, long, answer(b"accept"))) == KEY_BYTES
    assert len(key_of([])) == len(key_of([bytes(10_000)])) == KEY_BYTES
    assert key_of([b"a", b"b"]) != key_of([b"ab"])


def test_another_size_is_in_force_at_once() -> None:
    stored = StoredResponses(StoreSpec())
    stored.keep(KEY, asking(), answer())
    stored.configure(StoreSpec(memory_bytes=0))
    assert stored.find(KEY, asking()) is None


def test_of_what_is_restored_the_newest_stays() -> None:
    size = answer().size + KEY_BYTES
    stored = StoredResponses(StoreSpec(memory_bytes=20 * size + size // 2))
    keys = [key_of([b"%d" % number]) for number in range(30)]
    since = answer()
    stored.keep(keys[0], asking(), since)
    for key in keys:
        stored.restore(key, key, answer())
    assert stored.find(keys[0], asking()) is since
    assert [stored.find(key, asking()) is not None for key in keys] == [True] * 20 + [False] * 10


def test_the_names_of_what_varies_need_room_too() -> None:
    varying = answer(b"accept")
    size = varying.size + 2 * KEY_BYTES + ENTRY_BYTES
    stored = StoredResponses(StoreSpec(memory_bytes=20 * size + size // 2))
    keys = [key_of([b"%d" % number]) for number in range(30)]
    for key in keys:
        full = stored.full_key(key, asking())
        stored.restore(key, key_of([full, b"accept"]), varying)
    assert stored.table.bytes == 20 * size
    assert len(stored.table) == 40
