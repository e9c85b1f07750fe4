"""A rules file to a snapshot, or every problem that it has."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path

from pydantic import ValidationError

from proxy.policy.snapshot import Snapshot
from proxy.rules.combinations import combination_problems
from proxy.rules.compiler import compile_rules
from proxy.rules.document import LARGEST_FILE_BYTES, Document, read_document
from proxy.rules.environment import Environment
from proxy.rules.page_files import NamedFiles
from proxy.rules.problems import Problem, RulesError, Step, key_text
from proxy.rules.references import reference_problems
from proxy.rules.report import findings
from proxy.rules.schema import Rules
from proxy.rules.section import Section

MOST_FINDINGS = 1000
"""More mistakes of a kind are not told: they take time, and nobody reads them."""


def load(path: Path, environ: Mapping[str, str]) -> Snapshot:
    """The snapshot of the rules in `path`, with values from `environ`.

    Page files are named relative to the folder of `path`. Raises `RulesError` with all problems.
    It reads files and takes its time: not for an event loop (see `proxy.rules.apart`).
    """
    file = str(path)
    path = path.absolute()
    content = _read(path, file)
    environment = Environment(environ)
    document = read_document(content, environment)
    report = _Report(file, document)
    for place, steps, message in document.problems:
        report.add(steps, message, place.line, place.column)
    if not isinstance(document.data, dict):
        if not document.problems:
            report.add((), "the rules are a mapping: version, listeners, upstreams, ...", 1, 1)
        raise report.error()
    named = NamedFiles(file, path.parent, document)
    report.files = named.paths
    report.problems += named.problems
    told = chain(combination_problems(document.data), reference_problems(document.data))
    for steps, message in islice(told, MOST_FINDINGS):
        report.find(steps, message)
    sections: dict[int, type[Section]] = {}
    try:
        rules = Rules.model_validate(document.data, context=sections)
    except ValidationError as error:
        errors = error.errors(include_url=False)[:MOST_FINDINGS]
        for steps, message, at_key in findings(errors, document.data, sections):
            report.find(steps, message, at_key=at_key)
        raise report.error() from None
    if report.problems:
        raise report.error()
    return compile_rules(
        rules,
        named.templates,
        path.parent,
        (str(path), *named.digests),
        named.digests,
        _version(content, named.digests, environment.used),
    )


class _Report:
    """The problems so far, and the files that were looked for."""

    def __init__(self, file: str, document: Document) -> None:
        self.problems: list[Problem] = []
        self.files: list[str] = []
        self._file = file
        self._document = document
        # A value that could not be read is one problem, not several.
        self._unread = {steps for _, steps, _ in document.problems}

    def add(self, steps: tuple[Step, ...], message: str, line: int, column: int) -> None:
        self.problems.append(Problem(self._file, line, column, key_text(steps), message))

    def find(self, steps: tuple[Step, ...], message: str, *, at_key: bool = False) -> None:
        if steps not in self._unread:
            place = self._document.place.find(steps, key=at_key)
            self.add(steps, message, place.line, place.column)

    def error(self) -> RulesError:
        """By position, the rules' own before those of page files, each once."""
        problems = sorted(
            set(self.problems),
            key=lambda each: (
                each.file != self._file,
                each.file,
                each.line,
                each.column,
                each.key,
                each.message,
            ),
        )
        return RulesError(problems, self.files)


def _read(path: Path, file: str) -> bytes:
    try:
        if not path.is_file() and path.exists():
            raise RulesError([Problem(file, 1, 1, "", "can't be read: not a file")])
        with path.open("rb") as opened:
            return opened.read(LARGEST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise RulesError([Problem(file, 1, 1, "", f"can't be read: {why}")]) from None


def _version(
    content: bytes, digests: Mapping[str, bytes], environment: Mapping[str, str | None]
) -> str:
    version = blake2b(content, digest_size=8)
    for digest in digests.values():
        version.update(digest)
    version.update(json.dumps(environment, sort_keys=True).encode())
    return version.hexdigest()
