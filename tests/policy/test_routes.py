import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.routes import (
    LONGEST_IN_MEMO,
    MEMO_ENTRIES,
    ONE_IN_MISSES,
    Pattern,
    RouteTable,
    parse_pattern,
)
from proxy.policy.snapshot import RouteSpec

Found = tuple[int, Mapping[str, str]] | None


def route(path: str, *, methods: str = "", hosts: str = "") -> RouteSpec:
    return RouteSpec(path, path, frozenset(methods.split()), tuple(hosts.split()))


def find(specs: list[RouteSpec], path: str, method: str = "GET", host: str = "shop.test") -> Found:
    return RouteTable(specs).find(method, host, path)


# ------------------------------------------------------------------ patterns


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("/", Pattern((), (), rest=False)),
        ("/**", Pattern((), (), rest=True)),
        ("/items/{item_id}", Pattern(("items", None), (("item_id", 1),), rest=False)),
        ("/a/{b}/{c}/**", Pattern(("a", None, None), (("b", 1), ("c", 2)), rest=True)),
        ("/100%/caf\N{LATIN SMALL LETTER E WITH ACUTE}", Pattern(("100%", "caf\xe9"), (), False)),
    ],
)
def test_a_pattern_is_read(text: str, pattern: Pattern) -> None:
    assert parse_pattern(text) == pattern


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "starts with '/'"),
        ("items", "starts with '/'"),
        ("/**/a", "can only be the last"),
        ("/**/**", "can only be the last"),
        ("/a*", "no wildcard inside"),
        ("/*", "no wildcard inside"),
        ("/***", "no wildcard inside"),
        ("/a{b}", "whole segment"),
        ("/{}", "whole segment"),
        ("/{a b}", "whole segment"),
        ("/{1a}", "whole segment"),
        ("/{a", "whole segment"),
        ("/a}", "whole segment"),
        ("/{a}/b/{a}", "twice"),
        ("/a//b", "empty segment"),
        ("//", "empty segment"),
        ("//**", "empty segment"),
        ("/a/", "leave the last '/' out"),
        ("/a/../b", "no '..'"),
        ("/.", "no '.'"),
        ("/a?b=c", "no '?'"),
        ("/a#b", "no '#'"),
        ("/caf%C3%A9", "'%C3' is percent-encoded"),
    ],
)
def test_a_bad_pattern_is_refused_with_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        parse_pattern(text)


# ------------------------------------------------------------------- finding


def test_the_first_route_that_matches_wins_though_a_later_one_is_more_exact() -> None:
    assert find([route("/a/{x}"), route("/a/b")], "/a/b") == (0, {"x": "b"})
    assert find([route("/**"), route("/a/b")], "/a/b") == (0, {})
    assert find([route("/a/b"), route("/a/{x}")], "/a/b") == (0, {})


def test_a_literal_that_leads_nowhere_falls_back_to_a_parameter() -> None:
    specs = [route("/a/b/c"), route("/{x}/b/d"), route("/{x}/**")]
    assert find(specs, "/a/b/d") == (1, {"x": "a"})
    assert find(specs, "/a/b/e") == (2, {"x": "a"})


@pytest.mark.parametrize("path", ["/a", "/a/", "/a/b", "/a/b/c", "/a/b/c/"])
def test_two_stars_take_any_number_of_segments(path: str) -> None:
    assert find([route("/a/**")], path) == (0, {})


@pytest.mark.parametrize("path", ["/", "/ab", "/b/a"])
def test_two_stars_take_only_what_is_below_them(path: str) -> None:
    assert find([route("/a/**")], path) is None


def test_a_last_slash_slips_past_no_rule() -> None:
    assert find([route("/orders")], "/orders/") == (0, {})
    assert find([route("/items/{id}")], "/items/7/") == (0, {"id": "7"})


def test_a_parameter_takes_one_segment_and_not_none() -> None:
    specs = [route("/items/{id}")]
    assert find(specs, "/items/") is None
    assert find(specs, "/items/7/8") is None


def test_the_root_matches_only_itself() -> None:
    assert find([route("/")], "/") == (0, {})
    assert find([route("/")], "/a") is None


def test_the_same_place_may_bear_other_names_in_other_routes() -> None:
    specs = [route("/{a}/x"), route("/{b}/y")]
    assert find(specs, "/1/x") == (0, {"a": "1"})
    assert find(specs, "/1/y") == (1, {"b": "1"})


def test_a_route_that_names_get_takes_head() -> None:
    specs = [route("/a", methods="POST"), route("/a", methods="GET")]
    assert find(specs, "/a", "HEAD") == (1, {})
    assert find([route("/a", methods="HEAD"), *specs], "/a", "HEAD") == (0, {})


def test_a_method_in_small_letters_slips_past_no_rule() -> None:
    specs = [route("/a", methods="POST"), route("/a")]
    assert find(specs, "/a", "post") == (0, {})
    assert find(specs, "/a", "PUT") == (1, {})


@pytest.mark.parametrize(
    ("host", "index"),
    [
        ("shop.test", 0),
        ("a.shop.test", 1),
        ("a.b.shop.test", 1),
        ("myshop.test", 2),
        ("test", 2),
        ("", 2),
    ],
)
def test_hosts_are_exact_or_anything_below_a_domain(host: str, index: int) -> None:
    specs = [route("/", hosts="x.test shop.test"), route("/", hosts="*.shop.test"), route("/")]
    assert find(specs, "/", host=host) == (index, {})


def test_neither_long_paths_nor_long_patterns_exhaust_the_stack() -> None:
    specs = [route("/a" * 500 + "/end"), route("/{x}" + "/a" * 500), route("/a/**")]
    assert find(specs, "/a" * 10_000) == (2, {})
    assert find(specs, "/a" * 500 + "/end") == (0, {})


# ------------------------------------------------- against a naive reference


def naive_takes(spec: RouteSpec, method: str, host: str, path: str) -> dict[str, str] | None:
    methods = spec.methods | {"HEAD"} if "GET" in spec.methods else spec.methods
    if methods and method not in methods:
        return None
    if spec.hosts and not any(
        host == h or (h.startswith("*.") and host.endswith(h[1:])) for h in spec.hosts
    ):
        return None
    segments = path.rstrip("/").split("/")[1:]
    wanted = spec.path.rstrip("/").split("/")[1:]
    if wanted and wanted[-1] == "**":
        wanted.pop()
        segments = segments[: len(wanted)]
    if len(segments) != len(wanted):
        return None
    parameters = {}
    for want, segment in zip(wanted, segments, strict=True):
        if want.startswith("{"):
            parameters[want[1:-1]] = segment
        elif want != segment:
            return None
    return parameters


SEGMENTS = st.sampled_from(["a", "b", "c"])
PATHS = st.builds(
    lambda segments, slash: "/" + "/".join(segments) + ("/" if segments and slash else ""),
    st.lists(SEGMENTS, max_size=6),
    st.booleans(),
)
METHODS = st.sampled_from(["GET", "HEAD", "POST"])


@st.composite
def specs(draw: st.DrawFn) -> RouteSpec:
    parts = draw(st.lists(st.sampled_from(["a", "b", "{}", "{}"]), max_size=5))
    parts = [f"{{p{n}}}" if part == "{}" else part for n, part in enumerate(parts)]
    if draw(st.booleans()):
        parts.append("**")
    hosts = st.lists(st.sampled_from(["x.test", "*.x.test", "*.test"]), max_size=2)
    return RouteSpec(
        "r", "/" + "/".join(parts), draw(st.frozensets(METHODS, max_size=2)), tuple(draw(hosts))
    )


@settings(max_examples=500)
@given(
    st.lists(specs(), max_size=25),
    st.lists(
        st.tuples(METHODS, st.sampled_from(["x.test", "a.x.test", "y.test", ""]), PATHS),
        min_size=1,
        max_size=10,
    ),
)
def test_the_table_finds_what_trying_one_route_after_the_other_finds(
    routes: list[RouteSpec], requests: list[tuple[str, str, str]]
) -> None:
    table = RouteTable(routes)
    for method, host, path in requests:
        expected: Found = None
        for index, spec in enumerate(routes):
            parameters = naive_takes(spec, method, host, path)
            if parameters is not None:
                expected = index, parameters
                break
        # So often that the memo answers as well.
        for _ in range(ONE_IN_MISSES + 1):
            assert table.find(method, host, path) == expected


# ---------------------------------------------------------------------- memo


def test_what_is_asked_often_is_found_without_a_walk() -> None:
    table = RouteTable([route("/items/{id}")])
    answers = [table.find("GET", "", "/items/7") for _ in range(ONE_IN_MISSES + 1)]
    assert answers == [(0, {"id": "7"})] * len(answers)
    parameters = [answer[1] for answer in answers if answer is not None]
    assert parameters[0] is not parameters[1]
    assert parameters[-1] is parameters[-2]


def test_the_memo_tells_methods_hosts_and_paths_apart() -> None:
    specs = [route("/a", methods="POST"), route("/a", hosts="x.test"), route("/{b}")]
    table = RouteTable(specs)
    asked = [("POST", "", "/a"), ("GET", "x.test", "/a"), ("GET", "", "/a"), ("GET", "", "/c")]
    expected = [find(specs, path, method, host) for method, host, path in asked]
    for _ in range(3 * ONE_IN_MISSES):
        assert [table.find(*each) for each in asked] == expected


def test_a_route_put_in_later_is_found_all_the_same() -> None:
    table = RouteTable([route("/a", methods="POST"), route("/{x}/b")])
    for path in ("/a", "/b/b") * ONE_IN_MISSES:
        table.find("GET", "", path)
    table.add(route("/{y}"))
    assert table.find("GET", "", "/a") == (2, {"y": "a"})
    assert table.find("GET", "", "/b/b") == (1, {"x": "b"})


def test_a_flood_of_new_paths_does_not_make_the_memo_grow() -> None:
    table = RouteTable([route("/**")])
    for number in range(3 * MEMO_ENTRIES * ONE_IN_MISSES):
        table.find("GET", "", f"/{number}")
        assert len(table._memo) <= MEMO_ENTRIES
    long = "/" + "a" * LONGEST_IN_MEMO
    before = len(table._memo)
    for request in [("GET", "", long), ("GET", long, "/"), (long, "", "/")] * ONE_IN_MISSES:
        table.find(*request)
    assert len(table._memo) == before
