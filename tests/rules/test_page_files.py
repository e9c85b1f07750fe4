"""The files that a document names."""

import os
from pathlib import Path

import pytest

from proxy.rules.load import load
from proxy.rules.problems import RulesError
from tests.rules.documents import SHORTEST, loaded, report, write


def pages(folder: Path, text: str) -> list[str]:
    return report(write(folder, f"{SHORTEST}pages: {text}\n"))


def test_pages_are_found_in_the_folder_of_the_rules(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "mine.html").write_text("<p>mine")

    snapshot = loaded(tmp_path, "pages: {mine: {html: pages/mine.html}}\nfallback: {page: mine}\n")

    assert snapshot.files == (str(tmp_path / "planb.yaml"), str(tmp_path / "pages" / "mine.html"))


def test_symbolic_links_are_named_and_not_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "mine.html").write_text("<p>mine")
    (tmp_path / "mine.html").symlink_to("..data/mine.html")

    snapshot = loaded(tmp_path, "pages: {mine: {html: mine.html}}\n")

    assert snapshot.files[1] == str(tmp_path / "mine.html")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("gone.html", "gone.html can't be read: No such file or directory"),
        (".", ". is not a file"),
        ('""', "must not be empty"),
        ("pipe", "pipe is not a file"),
        ("large.html", "large.html is larger than 1 MiB"),
        ("latin.html", "latin.html is not UTF-8 (line 2)"),
        ("planb.yaml/x", "planb.yaml/x can't be read: Not a directory"),
        ('"a\\0b"', "no file has a NUL in its name"),
    ],
)
def test_a_page_that_cannot_be_used_is_reported_where_it_is_named(
    tmp_path: Path, written: str, message: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large.html").write_bytes(b"x" * (2**20 + 1))
    (tmp_path / "latin.html").write_bytes(b"a\n\xe9")

    assert pages(tmp_path, f"{{a: {{html: {{en: {written}}}}}}}") == [
        f"4:24: pages.a.html.en: {message}"
    ]


def test_mistakes_in_a_page_are_reported_with_the_page_s_own_place(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>\n<p>{{sttus}}")
    (tmp_path / "a.json").write_text('{"a": }')

    assert pages(tmp_path, "{a: {html: a.html, json: a.json}, b: {html: a.html, colour: red}}") == [
        "4:60: pages.b.colour: unknown key",
        'a.html:2:4: sttus: unknown placeholder; did you mean "status"?',
        "a.json:1:7: not JSON: Expecting value",
    ]


def test_one_file_may_serve_as_text_and_be_wrong_as_json(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("no json")

    assert pages(tmp_path, "{a: {text: a, html: a, json: a}}") == [
        "a:1:1: not JSON: Expecting value"
    ]


def test_an_error_names_every_file_that_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "wrong.html").write_text("{{nope}}")
    page = 'html: {en: wrong.html, zh: new/gone.html, fr: "a\\0b"}'
    path = write(tmp_path, f"{SHORTEST}pages: {{a: {{{page}}}}}\nroute: []\n")

    with pytest.raises(RulesError) as caught:
        load(path, {})

    assert caught.value.files == (
        str(tmp_path / "wrong.html"),
        str(tmp_path / "new" / "gone.html"),
    )


def test_authorities_that_are_none_are_reported(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    text = SHORTEST.replace("{shop:", "{own: {url: 'https://own', tls: {ca_file: ca.pem}}, shop:")

    assert report(write(tmp_path, text)) == [
        "3:54: upstreams.own.tls.ca_file: ca.pem holds no PEM certificate"
    ]
