"""What is wrong with a rules file: every problem at once, each with its place."""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

Step = str | int
"""One step into a document: a key or an index."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `line` and `column` count from 1; `key` is empty for the file as a whole."""

    file: str
    line: int
    column: int
    key: str
    message: str

    def __str__(self) -> str:
        what = f"{self.key}: {self.message}" if self.key else self.message
        return f"{self.file}:{self.line}:{self.column}: {what}"

    def as_dict(self) -> dict[str, str | int]:
        """The problem for JSON."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "key": self.key,
            "message": self.message,
        }


class RulesError(Exception):
    """The rules can't be used. `problems` holds all that is wrong, by position, at least one.

    `files` are the absolute paths of the files that the rules name, as far as they could be read:
    a change of any of them, or its appearance, may be what mends the rules.
    """

    def __init__(self, problems: Iterable[Problem], files: Iterable[str] = ()) -> None:
        self.problems = list(problems)
        self.files = tuple(files)
        super().__init__("\n".join(map(str, self.problems)))


def key_text(steps: Sequence[Step]) -> str:
    """A path as people write it: `routes[2].limits[0].rate`."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{shown(step)}]"
    return text


def shown(value: object) -> str:
    """A value for a message: on one line, in ASCII, not too long."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The word that was probably meant.

    Comparing takes quadratic time in the words' length, so long words and long lists are let be.
    """
    words = tuple(known)
    return _nearest(word, words) if len(word) <= 100 and len(words) <= 500 else None


@lru_cache(maxsize=1000)
def _nearest(word: str, known: tuple[str, ...]) -> str | None:
    found = difflib.get_close_matches(word, known, n=1)
    return found[0] if found else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean "rate"?`, or nothing."""
    found = nearest(word, known)
    return f'; did you mean "{found}"?' if found else ""
