"""What a problem looks like."""

import pytest

from proxy.rules.problems import Problem, RulesError, key_text, nearest, shown, suggestion


def test_a_problem_reads_as_a_compiler_s_line_and_as_a_mapping() -> None:
    problem = Problem("planb.yaml", 3, 7, "routes[2].limits[0].rat", "unknown key")

    assert str(problem) == "planb.yaml:3:7: routes[2].limits[0].rat: unknown key"
    assert problem.as_dict() == {
        "file": "planb.yaml",
        "line": 3,
        "column": 7,
        "key": "routes[2].limits[0].rat",
        "message": "unknown key",
    }


def test_a_problem_of_the_whole_file_names_no_key() -> None:
    assert str(Problem("a", 1, 1, "", "empty")) == "a:1:1: empty"


def test_an_error_holds_and_says_all_problems() -> None:
    problems = [Problem("a", line, 1, "", "wrong") for line in (1, 2)]

    error = RulesError(iter(problems))

    assert error.problems == problems
    assert str(error) == "a:1:1: wrong\na:2:1: wrong"


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ((), ""),
        (("routes", 2, "limits", 0, "rate"), "routes[2].limits[0].rate"),
        (("pages", "bad-request", "html"), "pages.bad-request.html"),
        (("pages", "a b"), 'pages["a b"]'),
        (("pages", "é\n"), 'pages["\\u00e9\\n"]'),
        ((0, ""), '[0][""]'),
    ],
)
def test_a_path_reads_as_people_write_it(steps: tuple[str | int, ...], text: str) -> None:
    assert key_text(steps) == text


def test_a_value_in_a_message_is_short_and_on_one_line() -> None:
    assert shown("a\nb") == '"a\\nb"'
    assert shown({"a": 1}) == "a mapping"
    assert shown([1]) == "a list"
    assert len(shown("x" * 1000)) == 60


def test_a_misspelt_word_finds_the_one_that_was_meant() -> None:
    assert nearest("rat", ["burst", "rate", "per"]) == "rate"
    assert suggestion("conection", ["connection"]) == '; did you mean "connection"?'


def test_nothing_is_suggested_where_nothing_is_near_or_comparing_takes_too_long() -> None:
    assert suggestion("zebra", ["rate"]) == ""
    assert nearest("x" * 101, ["x" * 102]) is None
    assert nearest("rat", ["rate"] * 501) is None
