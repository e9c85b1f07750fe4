"""Whose answer is whose: what a stored response is found by, and who is asked about one."""

import pytest

from proxy.policy.keeping import Keeping, Lookup
from proxy.policy.request import Request
from proxy.policy.snapshot import KeepSpec, StoreSpec
from proxy.policy.stored_response import StoredResponse
from proxy.policy.stored_responses import StoredResponses

HOST = (b"Host", b"shop.test")


def keeping(spec: KeepSpec, *origin: str) -> Keeping:
    return Keeping(spec, StoredResponses(StoreSpec()), origin)


def request(
    target: bytes = b"/items", *fields: tuple[bytes, bytes], method: str = "GET", length: int = 0
) -> Request:
    path, _, query = target.partition(b"?")
    return Request(
        *(method, "shop.test", path.decode(), query, (HOST, *fields), b"@192.0.2.1", length),
        target=target,
    )


def lookup(spec: KeepSpec, asking: Request) -> Lookup:
    found = keeping(spec).lookup(asking)
    assert found is not None
    return found


def key(spec: KeepSpec, *fields: tuple[bytes, bytes], target: bytes = b"/items") -> bytes:
    return lookup(spec, request(target, *fields)).key


ANY = KeepSpec(last_good_for=60.0)


@pytest.mark.parametrize(
    "asking",
    [
        request(method="POST"),
        request(method="OPTIONS"),
        request(length=1),
        request(b"/items", (b"X-HTTP-Method-Override", b"DELETE")),
        request(b"/items", (b"X-Original-URL", b"/admin")),
        request(b"/items", (b"Upgrade", b"websocket")),
        # The shop would not get that, and answer in another language than the key says.
        request(b"/items", (b"Accept-Language", b"de"), (b"Connection", b"close, Accept-Language")),
    ],
)
def test_some_requests_have_no_place(asking: Request) -> None:
    assert keeping(ANY).lookup(asking) is None


def test_head_and_get_have_the_same() -> None:
    headed = lookup(ANY, request(method="HEAD"))
    assert headed.key == key(ANY)
    assert not headed.keepable
    assert lookup(ANY, request()).keepable


@pytest.mark.parametrize(
    "target",
    [b"/items?", b"/items?a", b"/Items", b"//items", b"/%69tems", b"http://shop.test/items"],
)
def test_every_spelling_is_another(target: bytes) -> None:
    assert key(ANY, target=target) != key(ANY)


@pytest.mark.parametrize(
    "field",
    [
        (b"host", b"shop.test:81"),
        (b"X-Forwarded-Host", b"evil.test"),
        (b"x-forwarded-proto", b"https"),
        (b"X-Forwarded-Prefix", b"/x"),
        (b"X-Host", b"evil.test"),
    ],
)
def test_what_links_are_made_from_tells_one_from_another(field: tuple[bytes, bytes]) -> None:
    assert key(ANY, field) != key(ANY)


def test_other_fields_do_not() -> None:
    fields = [(b"X-Forwarded-For", b"192.0.2.9"), (b"User-Agent", b"x"), (b"Accept", b"x")]
    assert key(ANY, *fields) == key(ANY)


def test_nothing_is_shared_by_origins_or_by_rules_that_differ() -> None:
    specs = [ANY, KeepSpec(60.0, query=()), KeepSpec(60.0, cookies=("a",))]
    specs += [KeepSpec(60.0, headers=("a",)), KeepSpec(60.0, ignored_cookies=("*",))]
    found = [keeping(spec, "shop").lookup(request()) for spec in specs]
    found += [keeping(ANY, "other").lookup(request())]
    assert len({each.key for each in found if each is not None}) == 6
    # How long they are kept makes no difference: a reload may change that.
    assert key(KeepSpec(1.0, ttl=5.0, coalesce=True)) == key(ANY)


LISTED = KeepSpec(60.0, query=("page", "Sort"))


@pytest.mark.parametrize(
    ("target", "like"),
    [
        (b"/items?utm=1", b"/items"),
        (b"/items?utm=1&page=2", b"/items?page=2"),
        (b"/items?page=2&utm", b"/items?page=2"),
        (b"/items?utm=%26page", b"/items"),
        (b"http://shop.test/items?utm=1", b"http://shop.test/items"),
    ],
)
def test_parameters_that_are_not_named_make_no_difference(target: bytes, like: bytes) -> None:
    assert key(LISTED, target=target) == key(LISTED, target=like)


@pytest.mark.parametrize(
    "target",
    [
        b"/items?page=3",
        b"/items?page",
        b"/items?PAGE=2",
        b"/items?sort=x",
        b"/items?page=1&page=2",
        # Each of them is `page` to some server.
        b"/items?utm=1;page=2",
        b"/items?p%61ge=2",
        b"/items?page[]=2",
        b"/items?+page=2",
        b"/items?page.=2",
        b"/items?&".ljust(400, b"&"),
    ],
)
def test_what_may_be_a_named_one_does(target: bytes) -> None:
    assert key(LISTED, target=target) != key(LISTED)


@pytest.mark.parametrize(
    "field",
    [
        (b"Forwarded", b"for=192.0.2.1;host=evil.test"),
        (b"Forwarded", b"for=192.0.2.1, for=192.0.2.2;proto=https"),
        (b"Forwarded", b'for="[2001:db8::1];host=evil.test"'),
        (b"Front-End-Https", b"on"),
        (b"X-Forwarded-Host", b"evil.test"),
        (b"X-Forwarded-Protocol", b"https"),
        (b"X-Forwarded-Uri", b"/evil"),
        (b"X-Original-Host", b"evil.test"),
    ],
)
def test_what_links_may_be_made_of_tells_answers_apart(field: tuple[bytes, bytes]) -> None:
    assert key(ANY, field) != key(ANY)


def test_where_a_request_comes_from_does_not() -> None:
    chain = [(b"X-Forwarded-For", b"192.0.2.1"), (b"Forwarded", b'for="[2001:db8::1]:80", By=_x')]
    assert key(ANY, *chain) == key(ANY)
    assert lookup(ANY, request(b"/items", (b"Connection", b"TE, close"))).keepable


def test_requests_with_credentials_or_cookies_are_somebody_s_own() -> None:
    for field in [
        *((b"Authorization", b"Basic eA=="), (b"Cookie", b"a=1"), (b"cookie", b"x")),
        *((b"Proxy-Authorization", b"Basic eA=="), (b"X-API-Key", b"1"), (b"X-Auth-Token", b"1")),
    ]:
        found = lookup(ANY, request(b"/items", field))
        assert found.personal
        assert not found.keepable
        # What is nobody's own may be sent to them all the same.
        assert found.key == key(ANY)
    empty = lookup(ANY, request(b"/items", (b"Cookie", b"")))
    assert empty.keepable


def test_named_credentials_are_told_apart() -> None:
    spec = KeepSpec(60.0, headers=("authorization", "cookie"))
    mine = lookup(spec, request(b"/", (b"Authorization", b"1"), (b"Cookie", b"a=1")))
    assert mine.keepable
    others = [
        key(spec, (b"Authorization", b"2"), (b"Cookie", b"a=1"), target=b"/"),
        key(spec, (b"Authorization", b"1"), target=b"/"),
        key(spec, target=b"/"),
    ]
    assert len({mine.key, *others}) == 4


COOKIES = KeepSpec(60.0, cookies=("lang", "currency"), ignored_cookies=("_ga",))


def cookies(line: bytes, spec: KeepSpec = COOKIES) -> Lookup:
    return lookup(spec, request(b"/items", (b"Cookie", line)))


def test_named_cookies_are_told_apart_and_ignored_ones_are_not() -> None:
    german = cookies(b"_ga=1; lang=de")
    assert german.keepable
    assert cookies(b"lang=de").key == cookies(b"lang=de; _ga=2").key == german.key
    assert cookies(b"lang=en").key != german.key
    assert cookies(b"lang=%64e").key != german.key
    assert cookies(b"currency=de").key != german.key
    assert cookies(b"_ga=1").key == key(COOKIES)


@pytest.mark.parametrize(
    "line",
    [
        b"lang=de; sid=1",
        b"lang=de; lang=en",
        b"lang=de; sid",
        b'_ga="; lang=de; x="',
        b"_ga=1, lang=de",
        b"l%61ng=de",
        b"; ".join([b"_ga=1"] * 300),
    ],
)
def test_cookies_that_servers_read_differently_are_somebody_s_own(line: bytes) -> None:
    assert cookies(line).personal


def test_all_other_cookies_can_be_ignored() -> None:
    every = KeepSpec(60.0, ignored_cookies=("*",))
    assert cookies(b'x="1; 2"; y', every).key == key(every)
    assert cookies(b'x="1; 2"; y', every).keepable
    but_one = KeepSpec(60.0, cookies=("lang",), ignored_cookies=("*",))
    assert cookies(b"x=1; lang=de; y=2", but_one).keepable
    assert cookies(b"x=1; lang=de", but_one).key == cookies(b"lang=de", but_one).key
    for other in (b"l%61ng", b"Lang", b"lang ", b"lang[]", b"lang[x"):
        assert cookies(b"x=1; %b=de" % other, but_one).personal
    dotted = KeepSpec(60.0, cookies=("a_b",), ignored_cookies=("*",))
    assert cookies(b"a.b=de", dotted).personal


@pytest.mark.parametrize(
    "field",
    [
        (b"Range", b"bytes=0-1"),
        (b"If-None-Match", b'"1"'),
        (b"If-Modified-Since", b"x"),
        (b"If-Range", b'"1"'),
        (b"Cache-Control", b"max-age=0, No-Store"),
    ],
)
def test_an_answer_to_a_condition_is_not_kept_but_others_answer_it(
    field: tuple[bytes, bytes],
) -> None:
    found = lookup(ANY, request(b"/items", field))
    assert not found.keepable
    assert not found.personal
    assert found.key == key(ANY)


@pytest.mark.parametrize("name", [b"If-None-Match", b"if-modified-since"])
def test_who_asks_whether_it_has_the_latest_may_bring_the_whole_for_all(name: bytes) -> None:
    cached = KeepSpec(ttl=1.0)
    found = lookup(cached, request(b"/items", (name, b'"1"')))
    assert (found.keepable, found.whole, found.key) == (True, True, key(cached))
    assert not lookup(cached, request()).whole
    for other in (b"If-Match", b"If-Range", b"Range", b"If-Unmodified-Since", b"Authorization"):
        found = lookup(cached, request(b"/items", (name, b'"1"'), (other, b'"1"')))
        assert (found.keepable, found.whole) == (False, False)
    headed = lookup(cached, request(b"/items", (name, b'"1"'), method="HEAD"))
    assert not headed.whole
    assert not lookup(ANY, request(b"/items", (name, b'"1"'))).whole


def test_a_client_s_wish_for_a_new_answer_changes_nothing() -> None:
    found = lookup(ANY, request(b"/items", (b"Cache-Control", b"no-cache"), (b"Pragma", b"x")))
    assert found.keepable


def answer(at: float, fresh_for: float = float("inf")) -> StoredResponse:
    return StoredResponse(200, b"", b"", arrived_at=at, age=0.0, fresh_for=fresh_for)


def test_one_is_fresh_for_its_time_and_the_last_good_one_for_its_own() -> None:
    found = lookup(KeepSpec(last_good_for=60.0, ttl=2.0), request())
    one = answer(10.0)
    found.keep(one)
    assert found.fresh(11.9) is one
    assert found.fresh(12.0) is None
    assert found.last_good(70.0) is one
    assert found.last_good(70.1) is None


def test_what_the_rules_do_not_ask_for_is_not_sent() -> None:
    only_fresh = lookup(KeepSpec(ttl=2.0), request())
    only_fresh.keep(answer(10.0))
    assert only_fresh.last_good(10.0) is None
    only_last_good = lookup(ANY, request())
    only_last_good.keep(answer(10.0))
    assert only_last_good.fresh(10.0) is None


def test_a_fresh_one_is_not_for_people_with_cookies_but_the_last_good_one_is() -> None:
    spec = KeepSpec(last_good_for=60.0, ttl=2.0)
    kept = keeping(spec)
    first, mine = kept.lookup(request()), kept.lookup(request(b"/items", (b"Cookie", b"sid=1")))
    assert first is not None
    assert mine is not None
    first.keep(answer(10.0))
    assert mine.fresh(10.0) is None
    assert mine.last_good(10.0) is not None


def test_one_a_second_is_kept() -> None:
    found = lookup(ANY, request())
    assert found.wants(9.0)
    found.keep(answer(10.0))
    assert not found.wants(10.9)
    assert found.wants(11.0)
    quick = lookup(KeepSpec(ttl=0.2), request())
    quick.keep(answer(10.0))
    assert quick.wants(10.25)


def test_one_that_is_fresh_no_more_is_replaced_at_once() -> None:
    found = keeping(KeepSpec(ttl=10.0, last_good_for=60.0)).lookup(request())
    assert found is not None
    # A `max-age=1` that came 0.7 s after its Date.
    found.keep(StoredResponse(200, b"", b"", arrived_at=10.0, age=0.7, fresh_for=0.3))
    assert not found.wants(10.2)
    assert found.wants(10.3)
    # What never was fresh is for a bad day only.
    found.keep(StoredResponse(200, b"", b"", arrived_at=10.0, age=0.7, fresh_for=0.0))
    assert not found.wants(10.3)
