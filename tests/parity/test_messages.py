from tests.parity.messages import Message, read_request, read_responses

HEAD = b"HTTP/1.1 200 OK\r\n"


def test_responses_are_told_apart() -> None:
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        + (HEAD + b"Content-Length: 2\r\n\r\n")
        + (HEAD + b"content-length:2\r\n\r\nok")
        + (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: 1\r\n\r\n")
        + b"HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n"
        + (HEAD + b"\r\nto the end")
    )
    start = HEAD[:-2]
    assert list(read_responses(data, (b"HEAD", b"GET"))) == [
        Message(b"HTTP/1.1 100 Continue"),
        Message(start, (b"Content-Length: 2",)),
        Message(start, (b"content-length:2",), b"ok"),
        Message(start, (b"Transfer-Encoding: chunked",), b"a", (b"T: 1",)),
        Message(b"HTTP/1.1 304 Same", (b"Content-Length: 9",)),
        Message(start, (), b"to the end"),
    ]


def test_after_a_switch_of_protocols_nothing_is_read_as_http() -> None:
    data = b"HTTP/1.1 101 Go\r\n\r\n" + HEAD
    assert [each.body for each in read_responses(data, ())] == [b"", HEAD]


def test_an_incomplete_message_is_told_as_far_as_it_goes() -> None:
    sized = HEAD + b"Content-Length: 5\r\n\r\nhe"
    in_chunks = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe"
    for data, body in ((sized, b"he"), (in_chunks, b"he"), (in_chunks[:-3], b""), (HEAD, b"")):
        (message,) = read_responses(data, ())
        assert (message.body, message.complete) == (body, False)


def test_a_request_has_no_body_but_the_one_that_it_announces() -> None:
    data = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nokGET"
    message = Message(b"POST / HTTP/1.1", (b"Content-Length: 2",), b"ok")
    assert read_request(data) == (message, len(data) - len(b"GET"))
    assert read_request(b"GET / HTTP/1.1\r\n\r\nGET") == (Message(b"GET / HTTP/1.1"), 18)
    assert read_request(b"GET / HTTP/1.1\r\n") is None
