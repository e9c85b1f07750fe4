from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.body import (
    MAX_EXCESS_BYTES,
    MAX_SIZE_LINE_BYTES,
    MAX_TRAILER_BYTES,
    BodyDecoder,
    ChunkedDecoder,
    LengthDecoder,
    UntilCloseDecoder,
    encode_chunk,
    last_chunk,
)
from proxy.wire.errors import BadMessage, BadRequest, BadResponse, HeadTooLarge, IncompleteMessage
from proxy.wire.grammar import Field

Outcome = tuple[bytes, bool, bytes, list[Field]] | type[BadMessage]


def outcome(decoder: BodyDecoder, pieces: Sequence[bytes]) -> Outcome:
    content = b""
    for index, piece in enumerate(pieces):
        if decoder.done:
            return content, True, decoder.rest + b"".join(pieces[index:]), decoder.trailers
        try:
            content += decoder.feed(piece)
        except BadMessage as error:
            return type(error)
    return content, decoder.done, decoder.rest, decoder.trailers


def test_a_body_with_a_length_ends_there() -> None:
    decoder = LengthDecoder(5)
    first = b"abc"
    assert decoder.feed(first) is first
    assert decoder.remaining == 2
    assert decoder.feed(b"deNEXT") == b"de"
    assert decoder.done
    assert decoder.rest == b"NEXT"
    decoder.feed_eof()


def test_a_body_without_bytes_is_done_from_the_start() -> None:
    assert LengthDecoder(0).done


@pytest.mark.parametrize("decoder", [LengthDecoder(5), ChunkedDecoder(strict=True)])
def test_a_close_within_a_body_is_noticed(decoder: BodyDecoder) -> None:
    decoder.feed(b"1\r\n")
    with pytest.raises(IncompleteMessage):
        decoder.feed_eof()


def test_a_body_until_close_ends_with_the_connection() -> None:
    decoder = UntilCloseDecoder()
    data = b"abc"
    assert decoder.feed(data) is data
    assert not decoder.done
    decoder.feed_eof()
    assert decoder.done


def test_chunks_are_joined_and_what_follows_is_kept() -> None:
    decoder = ChunkedDecoder(strict=True)
    assert decoder.feed(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1 \r\n\r\nNEXT") == b"abcde"
    assert decoder.done
    assert decoder.trailers == [(b"T", b"1")]
    assert decoder.rest == b"NEXT"
    decoder.feed_eof()


def test_a_piece_within_a_chunk_is_not_copied() -> None:
    decoder = ChunkedDecoder(strict=True)
    decoder.feed(b"a\r\n")
    data = b"abcde"
    assert decoder.feed(data) is data


LEGAL = [
    b"0\r\n\r\n",
    b"000\r\n\r\n",
    b"0000000000000001\r\na\r\n0\r\n\r\n",
    b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
    b"1;a\r\nx\r\n0\r\n\r\n",
    b'1 ; a = b\t;c="d;\\"\xff";e\r\nx\r\n0;f\r\n\r\n',
    b"0\r\nA: 1\r\nB: 2\r\n\r\n",
]

SMUGGLED = [
    b"0x5\r\nabcde\r\n0\r\n\r\n",
    b"+5\r\nabcde\r\n0\r\n\r\n",
    b"-1\r\nabcde\r\n0\r\n\r\n",
    b" 5\r\nabcde\r\n0\r\n\r\n",
    b"5g\r\nabcde\r\n0\r\n\r\n",
    b"5_0\r\nabcde\r\n0\r\n\r\n",
    b"\r\n5\r\nabcde\r\n0\r\n\r\n",
    b";a\r\n\r\n",
    b"\r\n",
    b"5\rabcde\r\n0\r\n\r\n",
    b"5\r\r\nabcde\r\n0\r\n\r\n",
    b"5\x00\r\nabcde\r\n0\r\n\r\n",
    b"5;\x00\r\nabcde\r\n0\r\n\r\n",
    b"5;a\rb\r\nabcde\r\n0\r\n\r\n",
    b"10000000000000005\r\nabcde\r\n0\r\n\r\n",
    b"8000000000000000\r\nabcde\r\n0\r\n\r\n",
    b"FFFFFFFFFFFFFFFF\r\nabcde\r\n0\r\n\r\n",
    b"5\r\nabcde0\r\n\r\n",
    b"5\r\nabcdef\r\n0\r\n\r\n",
    b"5\r\nabcde\r0\r\n\r\n",
    b"5\r\nabcde\n0\r\n\r\n",
    b"5\r\nabcd\r\n0\r\n\r\n",
    b"0\r\nA : 1\x00\r\n\r\n",
    b"0\r\n A: 1\r\n\r\n",
    b"0\r\nGET / HTTP/1.1\r\n\r\n",
]

TOLERATED = [
    b"5\nabcde\n0\n\n",
    b"5  \r\nabcde\r\n0\r\n\r\n",
    b"5;\r\nabcde\r\n0\r\n\r\n",
    b"5;=\r\nabcde\r\n0\r\n\r\n",
    b"5;a\nabcde\r\n0\r\n\r\n",
    b"5\nabcde\r\n0\r\n\r\n",
    b"5\r\nabcde\r\n0\r\nA : 1\r\n\r\n",
    b"5\r\nabcde\r\n0\r\nA: 1\n\n",
]


@pytest.mark.parametrize("data", LEGAL)
@pytest.mark.parametrize("strict", [True, False])
def test_legal_bodies_are_read(data: bytes, strict: bool) -> None:
    result = outcome(ChunkedDecoder(strict=strict), [data + b"NEXT"])
    assert isinstance(result, tuple)
    assert result[1:3] == (True, b"NEXT")


@pytest.mark.parametrize("data", SMUGGLED)
def test_malformed_chunks_are_refused(data: bytes) -> None:
    assert outcome(ChunkedDecoder(strict=True), [data]) is BadRequest
    assert outcome(ChunkedDecoder(strict=False), [data]) is BadResponse


@pytest.mark.parametrize("data", TOLERATED)
def test_only_responses_may_be_sloppy(data: bytes) -> None:
    assert outcome(ChunkedDecoder(strict=True), [data]) is BadRequest
    result = outcome(ChunkedDecoder(strict=False), [data + b"NEXT"])
    assert isinstance(result, tuple)
    assert result[:3] == (b"abcde", True, b"NEXT")


@pytest.mark.parametrize(
    ("begin", "wrong"),
    [
        (b"", b"x"),
        (b"5", b" \n"),
        (b"5", b"\n"),
        (b"5\r", b"a"),
        (b"1\r\na", b"b"),
        (b"0\r\n", b" "),
    ],
)
def test_the_first_wrong_byte_is_refused_without_waiting_for_more(
    begin: bytes, wrong: bytes
) -> None:
    decoder = ChunkedDecoder(strict=True)
    decoder.feed(begin)
    with pytest.raises(BadRequest):
        decoder.feed(wrong)


def test_one_size_line_is_bounded() -> None:
    line = b"1;" + b"a" * MAX_SIZE_LINE_BYTES
    for pieces in ([line], [bytes([byte]) for byte in line]):
        assert outcome(ChunkedDecoder(strict=True), pieces) is BadRequest


@pytest.mark.parametrize("strict", [True, False])
def test_many_extensions_with_little_content_are_refused(strict: bool) -> None:
    chunk = b"1;" + b"a" * 300 + b"\r\nx\r\n"
    error = BadRequest if strict else BadResponse
    decoder = ChunkedDecoder(strict=strict)
    assert outcome(decoder, [chunk] * (2 * MAX_EXCESS_BYTES // 300)) is error


def test_content_pays_for_its_framing() -> None:
    decoder = ChunkedDecoder(strict=True)
    signed = b"1000;chunk-signature=" + b"a" * 64 + b"\r\n" + b"x" * 4096 + b"\r\n"
    tiny = b"1\r\nx\r\n"
    assert sum(len(decoder.feed(signed + tiny)) for _ in range(2000)) == 2000 * 4097


@pytest.mark.parametrize(("strict", "error"), [(True, HeadTooLarge), (False, BadResponse)])
def test_trailers_are_bounded(strict: bool, error: type[BadMessage]) -> None:
    decoder = ChunkedDecoder(strict=strict)
    assert outcome(decoder, [b"0\r\n", b"A: " + b"x" * MAX_TRAILER_BYTES]) is error


@pytest.mark.parametrize("strict", [True, False])
@given(
    st.lists(st.binary(max_size=40), max_size=5),
    st.lists(st.tuples(st.sampled_from([b"A", b"x-b"]), st.sampled_from([b"", b"1", b"a b"]))),
    st.lists(st.integers(0, 300), max_size=6),
)
def test_what_is_encoded_is_decoded_however_it_is_split(
    strict: bool, contents: list[bytes], trailers: list[Field], cuts: list[int]
) -> None:
    data = b"".join(map(encode_chunk, contents)) + last_chunk(trailers) + b"NEXT"
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    expected = (b"".join(contents), True, b"NEXT", trailers)
    pieces = [data[begin:end] for begin, end in pairwise(edges)]
    assert outcome(ChunkedDecoder(strict=strict), pieces) == expected
    assert outcome(ChunkedDecoder(strict=strict), [bytes([byte]) for byte in data]) == expected


@pytest.mark.parametrize("strict", [True, False])
@given(
    st.sampled_from([*LEGAL, *SMUGGLED, *TOLERATED])
    | st.binary(max_size=60)
    | st.text(alphabet='01aF;="\\ \t\r\n:x\x00', max_size=40).map(str.encode),
    st.lists(st.integers(0, 60), max_size=5),
)
def test_splitting_the_input_anywhere_changes_nothing(
    strict: bool, data: bytes, cuts: list[int]
) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(edges)]
    whole = outcome(ChunkedDecoder(strict=strict), [data])
    assert outcome(ChunkedDecoder(strict=strict), pieces) == whole
    assert outcome(ChunkedDecoder(strict=strict), [bytes([byte]) for byte in data]) == whole
