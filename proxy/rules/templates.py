"""Page files: texts with placeholders that are replaced when the rules load."""

import json
import re
from collections.abc import Iterator, Mapping

from proxy.rules.problems import Problem, suggestion

LARGEST_PAGE_BYTES = 1024 * 1024

RETRY_AFTER = "retry_after"
PLACEHOLDERS = ("status", "reason", "title", "safe", RETRY_AFTER)

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][\w.-]*)\s*\}\}")


class Template:
    """A page file's text."""

    __slots__ = ("_parts", "_text", "file")

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._text = text
        # Texts at even places, placeholders' names at odd ones.
        self._parts = _PLACEHOLDER.split(text)

    def cut(self, values: Mapping[str, str]) -> tuple[bytes, ...]:
        """The text with `values` in it, cut wherever a placeholder has no value.

        That is `{{retry_after}}`, which is drawn anew for every answer.
        """
        pieces = [""]
        for index, part in enumerate(self._parts):
            if not index % 2:
                pieces[-1] += part
            elif part in values:
                pieces[-1] += values[part]
            else:
                pieces.append("")
        return tuple(piece.encode() for piece in pieces)

    def problems(self) -> Iterator[Problem]:
        """The unknown placeholders."""
        for match in _PLACEHOLDER.finditer(self._text):
            if match[1] not in PLACEHOLDERS:
                before = self._text[: match.start()]
                line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
                near = suggestion(match[1], PLACEHOLDERS)
                message = f"unknown placeholder{near or '; they are ' + ', '.join(PLACEHOLDERS)}"
                yield Problem(self.file, line, column, match[1], message)

    def json_problems(self) -> Iterator[Problem]:
        """Why the text is not JSON once its placeholders, if they are known, are replaced."""
        if not set(self._parts[1::2]).issubset(PLACEHOLDERS):
            return
        (text,) = self.cut(dict.fromkeys(PLACEHOLDERS, "1"))
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            yield Problem(self.file, error.lineno, error.colno, "", f"not JSON: {error.msg}")
        except RecursionError:
            yield Problem(self.file, 1, 1, "", "not JSON: nested too deeply")
