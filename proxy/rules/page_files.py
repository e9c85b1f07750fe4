"""The files that the rules name, read with their mistakes."""

import stat
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from proxy.rules.document import Document, Value
from proxy.rules.problems import Problem, Step, key_text
from proxy.rules.templates import LARGEST_PAGE_BYTES, Template


class NamedFiles:
    """The files that a document names: pages (`templates`, by the path as written) and TLS
    authorities. `digests` stand for what each held, by absolute path; `paths` are those of all,
    also of files that can't be read.

    Reads what it can whatever else is wrong with the document, and leaves the rest as `problems`.
    """

    def __init__(self, file: str, folder: Path, document: Document) -> None:
        self.templates: dict[str, Template] = {}
        self.digests: dict[str, bytes] = {}
        self.paths: list[str] = []
        self.problems: list[Problem] = []
        self._file = file
        self._folder = folder
        self._document = document
        data = document.data if isinstance(document.data, dict) else {}
        for steps, written in _page_paths(data.get("pages")):
            self._page(steps, written)
        upstreams = data.get("upstreams")
        for name, upstream in upstreams.items() if isinstance(upstreams, dict) else ():
            tls = upstream.get("tls") if isinstance(upstream, dict) else None
            authorities = tls.get("ca_file") if isinstance(tls, dict) else None
            if isinstance(authorities, str):
                self._authorities(("upstreams", name, "tls", "ca_file"), authorities)

    def path(self, written: str) -> Path:
        """The absolute path of a file as it is named: symbolic links are not resolved."""
        return self._folder / written

    def _page(self, steps: tuple[Step, ...], written: str) -> None:
        template = self.templates.get(written) or self._template(steps, written)
        if template is not None and steps[2] == "json":
            self.problems += template.json_problems()

    def _template(self, steps: tuple[Step, ...], written: str) -> Template | None:
        content = self._read(steps, written)
        if content is None:
            return None
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self._problem(steps, f"{written} is not UTF-8 (line {line})")
            return None
        template = self.templates[written] = Template(str(self.path(written)), text)
        self.problems += template.problems()
        return template

    def _authorities(self, steps: tuple[Step, ...], written: str) -> None:
        content = self._read(steps, written)
        if content is not None and b"-----BEGIN CERTIFICATE-----" not in content:
            self._problem(steps, f"{written} holds no PEM certificate")

    def _read(self, steps: tuple[Step, ...], written: str) -> bytes | None:
        if not written:
            self._problem(steps, "must not be empty")
            return None
        if "\0" in written:
            self._problem(steps, "no file has a NUL in its name")
            return None
        path = self.path(written)
        self.paths.append(str(path))
        try:
            # Opening a pipe would wait for its writer.
            if not stat.S_ISREG(path.stat().st_mode):
                self._problem(steps, f"{written} is not a file")
                return None
            with path.open("rb") as opened:
                content = opened.read(LARGEST_PAGE_BYTES + 1)
        except OSError as error:
            self._problem(steps, f"{written} can't be read: {error.strerror}")
            return None
        if len(content) > LARGEST_PAGE_BYTES:
            self._problem(steps, f"{written} is larger than {LARGEST_PAGE_BYTES // 2**20} MiB")
            return None
        self.digests[str(path)] = blake2b(content).digest()
        return content

    def _problem(self, steps: tuple[Step, ...], message: str) -> None:
        place = self._document.place.find(steps)
        self.problems.append(
            Problem(self._file, place.line, place.column, key_text(steps), message)
        )


def _page_paths(pages: Value) -> Iterator[tuple[tuple[Step, ...], str]]:
    for name, page in pages.items() if isinstance(pages, dict) else ():
        for form in ("html", "json", "text") if isinstance(page, dict) else ():
            files = page.get(form) if isinstance(page, dict) else None
            if isinstance(files, str):
                yield ("pages", name, form), files
            elif form == "html" and isinstance(files, dict):
                for language, path in files.items():
                    if isinstance(path, str):
                        yield ("pages", name, form, language), path
