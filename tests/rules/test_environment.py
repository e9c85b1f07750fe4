"""Values from the environment."""

import pytest

from proxy.rules.environment import Environment


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A}", "one"),
        ("x${A}y${A}z", "xoneyonez"),
        ("${A:-two}", "one"),
        ("${B:-two}", "two"),
        ("${B:-}", ""),
        ("${EMPTY:-two}", "two"),
        ("${EMPTY}", ""),
        ("${B:-http://[::1]:80/}", "http://[::1]:80/"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A, $5 and $", "$A, $5 and $"),
        ("${NESTED}", "${A}"),
    ],
)
def test_references_are_replaced_once(text: str, result: str) -> None:
    environment = Environment({"A": "one", "EMPTY": "", "NESTED": "${A}"})

    assert environment.substitute(text) == result


@pytest.mark.parametrize("text", ["${", "${}", "${a-b}", "${1}", "${A:-x", "${A:+x}"])
def test_a_reference_that_is_not_well_formed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        Environment({"A": "one"}).substitute(text)


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(ValueError, match="the environment variable SHOP is not set"):
        Environment({}).substitute("${SHOP}")


def test_what_was_used_is_remembered_and_nothing_else() -> None:
    environment = Environment({"A": "one", "B": "two"})
    environment.substitute("${A} ${C:-three} $${B}")

    assert environment.used == {"A": "one", "C": None}
