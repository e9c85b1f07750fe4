"""Path patterns: which are sound, which cover which."""

import pytest

from proxy.policy.routes import parse_pattern
from proxy.rules.paths import PatternTree, pattern


@pytest.mark.parametrize("text", ["/", "/orders", "/items/{item_id}", "/**", "/a/{b}/**", "/书"])
def test_a_sound_pattern_stays_as_it_is(text: str) -> None:
    assert pattern(text) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "is not a path pattern"),
        ("", "is not a path pattern"),
        (["/"], "is not a path pattern"),
        ("orders", "starts with"),
        ("/a;b", 'normalised first, this one to "/a"'),
        ("/a\\b", 'normalised first, this one to "/a/b"'),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pattern(value)


@pytest.mark.parametrize(
    ("first", "later", "covers"),
    [
        ("/**", "/", True),
        ("/**", "/a/{b}/**", True),
        ("/a/**", "/a", True),
        ("/a/**", "/a/b", True),
        ("/a/**", "/ab", False),
        ("/a/**", "/**", False),
        ("/a", "/a", True),
        ("/a", "/b", False),
        ("/a", "/a/**", False),
        ("/{x}", "/a", True),
        ("/{x}", "/{y}", True),
        ("/{x}", "/", False),
        ("/{x}", "/a/b", False),
        ("/{x}", "/{x}/**", False),
        ("/a/{x}/c", "/a/b/c", True),
        ("/a/b", "/a/{x}", False),
    ],
)
def test_a_pattern_covers_what_takes_no_other_path(first: str, later: str, covers: bool) -> None:
    tree: PatternTree[str] = PatternTree()
    tree.add(parse_pattern("/somewhere/else"), "other")
    tree.add(parse_pattern(first), "first")

    assert list(tree.covering(parse_pattern(later))) == (["first"] if covers else [])
