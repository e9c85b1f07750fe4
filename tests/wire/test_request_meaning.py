import pytest

from proxy.wire.errors import BadRequest, UnsupportedCoding
from proxy.wire.request_meaning import (
    asked_authority,
    content_length,
    expects_continue,
    is_chunked,
)


def test_a_length_is_one_number() -> None:
    assert content_length({}) is None
    assert content_length({b"content-length": [b"0042"]}) == 42


@pytest.mark.parametrize("values", [[b"5", b"5"], [b"5, 5"], [b""], [b"-1"], [b"9" * 19]])
def test_any_other_length_is_refused(values: list[bytes]) -> None:
    with pytest.raises(BadRequest):
        content_length({b"content-length": values})


def test_two_ways_of_framing_are_refused() -> None:
    with pytest.raises(BadRequest):
        content_length({b"content-length": [b"5"], b"transfer-encoding": [b"chunked"]})


def test_only_chunked_is_chunked() -> None:
    assert not is_chunked({}, (1, 1))
    assert is_chunked({b"transfer-encoding": [b"Chunked"]}, (1, 1))
    with pytest.raises(UnsupportedCoding):
        is_chunked({b"transfer-encoding": [b"gzip, chunked"]}, (1, 1))
    with pytest.raises(BadRequest):
        is_chunked({b"transfer-encoding": [b"chunked"]}, (1, 0))
    with pytest.raises(BadRequest):
        is_chunked({b"transfer-encoding": [b"chunked", b"chunked"]}, (1, 1))


def test_100_continue_may_stand_anywhere_in_the_list() -> None:
    assert expects_continue([b"a", b"b , 100-Continue"])
    assert not expects_continue([b"100", b"continue"])


def test_the_authority_is_the_targets_else_hosts() -> None:
    assert asked_authority(b"GET", b"/", [b"a:80"], (1, 1)) == b"a:80"
    assert asked_authority(b"GET", b"http://A:80/x", [b"a"], (1, 1)) == b"A:80"
    assert asked_authority(b"CONNECT", b"b:443", [b"a"], (1, 1)) == b"b:443"
    assert asked_authority(b"GET", b"/", None, (1, 0)) == b""


@pytest.mark.parametrize(
    ("target", "hosts"),
    [(b"/", None), (b"/", [b"a", b"a"]), (b"/", [b"a b"]), (b"/#", [b"a"]), (b"http://b/", [b"a"])],
)
def test_a_doubtful_authority_is_refused(target: bytes, hosts: list[bytes] | None) -> None:
    with pytest.raises(BadRequest):
        asked_authority(b"GET", target, hosts, (1, 1))
