"""The schema as such."""

from collections.abc import Iterator

import pytest

from proxy.rules.schema import Rules
from proxy.rules.section import Section


def sections(section: type[Section]) -> Iterator[type[Section]]:
    for inner in section.__subclasses__():
        yield inner
        yield from sections(inner)


SECTIONS = sorted(set(sections(Section)), key=lambda section: section.__name__)
KEYS = [(section, key) for section in SECTIONS for key in section.model_fields]


def test_every_section_was_found() -> None:
    assert Rules in SECTIONS
    assert len(SECTIONS) > 15


@pytest.mark.parametrize(("section", "key"), KEYS, ids=lambda each: getattr(each, "__name__", each))
def test_every_key_is_described_in_a_sentence(section: type[Section], key: str) -> None:
    description = section.model_fields[key].description or ""

    assert description[:1].isupper() or description.startswith("shadow")
    assert description.endswith(".")


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_section_refuses_unknown_keys_and_converts_nothing(section: type[Section]) -> None:
    assert section.model_config.get("extra") == "forbid"
    assert section.model_config.get("strict") is True


@pytest.mark.parametrize(("section", "key"), KEYS, ids=lambda each: getattr(each, "__name__", each))
def test_defaults_are_written_as_yaml_would_write_them(section: type[Section], key: str) -> None:
    field = section.model_fields[key]

    if not field.is_required():
        assert isinstance(field.default, str | int | bool | list | dict | None)
