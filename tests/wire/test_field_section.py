from time import perf_counter

import pytest

from proxy.wire.errors import BadRequest, BadResponse, HeadTooLarge
from proxy.wire.field_section import MAX_FIELDS, FieldSectionReader, tolerant_fields


def test_a_section_may_be_empty() -> None:
    reader = FieldSectionReader(100)
    assert reader.feed(b"before\r\nafter", 6) == 8
    assert reader.fields == []
    assert reader.consumed == 2


def test_lines_are_taken_as_they_come() -> None:
    reader = FieldSectionReader(100)
    assert reader.feed(b"A: 1\r\nB") is None
    assert reader.fields == [(b"A", b"1")]
    assert reader.feed(b": 2 \r") is None
    assert reader.feed(b"\n\r\nrest") == 3
    assert reader.fields == [(b"A", b"1"), (b"B", b"2")]


def test_a_whole_section_over_its_limit_is_refused() -> None:
    with pytest.raises(HeadTooLarge):
        FieldSectionReader(9).feed(b"A: 1234\r\n\r\n")


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        (b"A : 1\r\n", "whitespace before a colon"),
        (b" A: 1\r\n", "folded line or leading whitespace"),
        (b": 1\r\n", "field line without a name"),
        (b"A: 1\n", "bare LF in a field value"),
        (b"A\n", "bare LF in a field name"),
        (b"A: 1\r2", "bare CR in a field value"),
    ],
)
def test_the_fault_is_named(section: bytes, reason: str) -> None:
    with pytest.raises(BadRequest) as caught:
        FieldSectionReader(100).feed(section)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("section", "fields"),
    [
        (b"A: 1\r\nB:2\r\n", [(b"A", b"1"), (b"B", b"2")]),
        (b"A: 1\nB: 2\r\n", [(b"A", b"1"), (b"B", b"2")]),
        (b"A : 1\r\n", [(b"A", b"1")]),
        (b"A: 1\r\n  2\r\n\t3 \r\nB: 4\r\n", [(b"A", b"1 2 3"), (b"B", b"4")]),
        (b"A: \x01\xff\r\n", [(b"A", b"\x01\xff")]),
    ],
)
def test_responses_are_read_tolerantly(section: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    assert tolerant_fields(section) == fields


@pytest.mark.parametrize(
    "section",
    [
        b" A: 1\r\n",
        b"A: \x00\r\n",
        b"A: 1\r2\r\n",
        b"A: 1\r\r\n",
        b"A B: 1\r\n",
        b"A\r\n",
        b": 1\r\n",
        b"\xff: 1\r\n",
        b"a:\r\n" * (MAX_FIELDS + 1),
        b"a:\n" * (MAX_FIELDS + 1),
    ],
)
def test_tolerance_ends_where_meaning_does(section: bytes) -> None:
    with pytest.raises(BadResponse):
        tolerant_fields(section)


def test_long_whitespace_is_unfolded_in_linear_time() -> None:
    begun = perf_counter()
    tolerant_fields(b"A: x" + b" " * 200_000 + b"y\n")
    tolerant_fields(b"A: x\n" + b" \n" * 100_000 + b" y\n")
    assert perf_counter() - begun < 2
