"""Values from the environment: `${NAME}` and `${NAME:-default}`."""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(
    r"""
      (?P<escaped>\$\$\{)
    | \$\{ (?P<name>[A-Za-z_][A-Za-z0-9_]*) (?P<or>:-(?P<default>[^}]*))? \}
    | (?P<broken>\$\{)
    """,
    re.VERBOSE,
)


class Environment:
    """Substitutes in texts, and remembers what was `used`: name to value, None for a default."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.used: dict[str, str | None] = {}
        self._environ = environ

    def substitute(self, text: str) -> str:
        """`text` with every reference replaced, once: what comes in is not looked through again.

        As in a shell, `:-` also replaces an empty value. `$${` stands for `${`. Raises
        `ValueError` for a variable that is not set and for a reference that is not well formed.
        """
        return _REFERENCE.sub(self._value, text)

    def _value(self, match: re.Match[str]) -> str:
        if match["escaped"]:
            return "${"
        if match["broken"]:
            raise ValueError(
                'write "${NAME}" or "${NAME:-default}"; "$${" stands for "${" as it is'
            )
        name = match["name"]
        value = self._environ.get(name)
        if match["or"] is not None:
            if not value:
                self.used[name] = None
                return match["default"]
        elif value is None:
            raise ValueError(f"the environment variable {name} is not set")
        self.used[name] = value
        return value
