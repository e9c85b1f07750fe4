from tests.bench.compare import ALL, chosen


def test_a_part_of_a_name_chooses_all_that_have_it() -> None:
    assert chosen(["refuse by", "memory"]) == [
        "refuse by rate, plain head",
        "refuse by rate, browser head",
        "memory",
    ]


def test_without_a_choice_all_are_measured() -> None:
    assert chosen(None) == ALL


def test_an_unknown_part_chooses_nothing() -> None:
    assert chosen(["no such case"]) == []
