import pickle

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.keys import LONGEST_KEY_BYTES, KeyKind, KeySource
from proxy.policy.request import Request
from tests.policy.guarded import request

ADDRESS = KeySource(KeyKind.CLIENT_ADDRESS)
COOKIE = KeySource(KeyKind.COOKIE, "sid")
HEADER = KeySource(KeyKind.HEADER, "x-key")
QUERY = KeySource(KeyKind.QUERY, "id")
PATH = KeySource(KeyKind.PATH, "item_id")


def with_parameter(value: str) -> Request:
    about = request()
    about.parameters = {"item_id": value}
    return about


def test_every_kind_of_key_tells_two_values_apart_and_one_not() -> None:
    pairs = [
        (ADDRESS, request(client="a"), request(client="b")),
        (COOKIE, request(fields=[(b"Cookie", b"sid=1")]), request(fields=[(b"Cookie", b"sid=2")])),
        (HEADER, request(fields=[(b"X-Key", b"1")]), request(fields=[(b"X-Key", b"2")])),
        (QUERY, request(query=b"id=1"), request(query=b"id=2")),
        (PATH, with_parameter("1"), with_parameter("2")),
    ]
    for source, one, other in pairs:
        assert source.key(one) == source.key(one)
        assert source.key(one) != source.key(other)


def test_a_source_is_the_same_after_a_pickle() -> None:
    """A reload compiles the rules in a process of its own."""
    fields = [(b"X-Key", b"1"), (b"Cookie", b"sid=2")]
    for source in (ADDRESS, COOKIE, HEADER, QUERY, PATH):
        copy = pickle.loads(pickle.dumps(source))
        assert copy == source
        assert copy.key(request(fields=fields, query=b"id=3")) == source.key(
            request(fields=fields, query=b"id=3")
        )


def test_the_client_does_not_matter_where_another_key_is_there() -> None:
    fields = [(b"Cookie", b"sid=1")]
    assert COOKIE.key(request(client="a", fields=fields)) == COOKIE.key(
        request(client="b", fields=fields)
    )


def test_without_the_key_the_client_s_address_counts() -> None:
    for source in (COOKIE, HEADER, QUERY, PATH):
        assert source.key(request(client="a")) == ADDRESS.key(request(client="a"))
        assert source.key(request(client="a")) != source.key(request(client="b"))


def test_several_values_are_no_way_to_a_fresh_bucket() -> None:
    keys = {
        COOKIE.key(request(fields=[(b"Cookie", b"sid=%d; sid=mine" % number)]))
        for number in range(10)
    }
    assert keys == {ADDRESS.key(request())}


def test_a_value_can_t_pass_for_an_address() -> None:
    forged = request(client="b", fields=[(b"X-Key", b"@a")])
    assert HEADER.key(forged) != ADDRESS.key(request(client="a"))


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_keys_are_short_and_differ_as_their_values_do(one: bytes, other: bytes) -> None:
    keys = [HEADER.key(request(fields=[(b"X-Key", value)])) for value in (one, other)]
    assert all(len(key) <= LONGEST_KEY_BYTES + 1 for key in keys)
    assert (keys[0] == keys[1]) == (one == other)


def test_who_is_no_caller_is_one_of_the_others() -> None:
    about = request()
    assert KeySource(KeyKind.CALLER).key(about) == b""
    about.caller = b"one@192.0.2.1"
    assert KeySource(KeyKind.CALLER).key(about) == b"one@192.0.2.1"
