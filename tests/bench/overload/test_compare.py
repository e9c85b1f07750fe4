from tests.bench.overload.compare import chosen


def test_a_part_of_a_name_chooses_all_that_have_it() -> None:
    assert chosen(["nginx a", "nginx b", "envoy"], ["nginx"]) == ["nginx a", "nginx b"]


def test_without_a_choice_all_are_taken() -> None:
    assert chosen(["nginx", "envoy"], None) == ["nginx", "envoy"]


def test_an_unknown_part_chooses_nothing() -> None:
    assert chosen(["nginx"], ["apache"]) == []
