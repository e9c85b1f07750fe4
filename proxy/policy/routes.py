"""Which route takes a request."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from proxy.policy.snapshot import RouteSpec

REST = "**"
"""The last segment of a pattern that takes whatever follows, nothing included."""

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PERCENT_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path pattern, parsed.

    `segments` are the literal segments, None where a parameter stands; without `**`, which is
    `rest`. `parameters` are the names of the parameters with their places in `segments`.
    """

    segments: tuple[str | None, ...]
    parameters: tuple[tuple[str, int], ...]
    rest: bool


def parse_pattern(text: str) -> Pattern:
    """Reads a pattern: `/`, `/items/{item_id}`, `/static/**`.

    A segment is literal, a parameter in braces, which takes one segment, or, at the end, `**`,
    which takes any number of segments. Raises ValueError with a sentence that says what is wrong.
    """
    if not text.startswith("/"):
        raise ValueError("a path pattern starts with '/'")
    for character in "?#":
        if character in text:
            raise ValueError(f"a path pattern holds no {character!r}: only the path is matched")
    if encoded := _PERCENT_ENCODED.search(text):
        raise ValueError(
            f"{encoded[0]!r} is percent-encoded: paths are decoded before they are matched, so "
            "write the character itself"
        )
    parts = text[1:].split("/") if text != "/" else []
    rest = bool(parts) and parts[-1] == REST
    if rest:
        parts.pop()
    segments: list[str | None] = []
    parameters: dict[str, int] = {}
    for place, part in enumerate(parts):
        parameter = _PARAMETER.fullmatch(part)
        if parameter is None:
            _check_literal(part, is_last=place == len(parts) - 1 and not rest)
            segments.append(part)
            continue
        if parameter[1] in parameters:
            raise ValueError(f"the parameter {part!r} stands there twice")
        parameters[parameter[1]] = place
        segments.append(None)
    return Pattern(tuple(segments), tuple(parameters.items()), rest)


def _check_literal(segment: str, *, is_last: bool) -> None:
    if not segment and is_last:
        raise ValueError("leave the last '/' out: a path matches with and without it")
    if not segment:
        raise ValueError("a path pattern holds no empty segment ('//')")
    if segment in {".", ".."}:
        raise ValueError(f"a path pattern holds no {segment!r}: paths are resolved before")
    if segment == REST:
        raise ValueError("'**' can only be the last segment")
    if "*" in segment:
        raise ValueError(
            f"{segment!r}: '*' is no wildcard inside a segment; '{{name}}' takes one whole "
            "segment, '**' at the end takes all that follow"
        )
    if "{" in segment or "}" in segment:
        raise ValueError(
            f"{segment!r}: a parameter is a whole segment, a name in braces, like '{{item_id}}'"
        )


class _Taker:
    """A route at the place in the trie where its pattern ends."""

    __slots__ = ("hosts", "index", "methods", "parameters", "suffixes")

    def __init__(self, index: int, spec: RouteSpec, pattern: Pattern) -> None:
        self.index = index
        self.methods = {method.upper() for method in spec.methods}
        if "GET" in self.methods:
            self.methods.add("HEAD")
        self.hosts = frozenset(host for host in spec.hosts if not host.startswith("*."))
        self.suffixes = tuple(host[1:] for host in spec.hosts if host.startswith("*."))
        self.parameters = pattern.parameters

    def takes(self, method: str, host: str) -> bool:
        if self.methods and method not in self.methods:
            return False
        if self.hosts or self.suffixes:
            return host in self.hosts or host.endswith(self.suffixes)
        return True


class _Node:
    """What paths that begin alike have in common. `least` is the smallest index at or below."""

    __slots__ = ("here", "least", "literals", "parameter", "rest")

    def __init__(self, least: int) -> None:
        self.least = least
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        # Routes that end here, and those that take whatever follows, by index.
        self.here: list[_Taker] = []
        self.rest: list[_Taker] = []


class RouteTable:
    """Finds the first of the routes put in that takes a request.

    No other spelling of a request slips past a rule. So a last `/` makes no difference, though
    the patterns distinguish case; a route that names GET takes HEAD, for which a server does the
    same work (RFC 9110 section 9.3.2), and a route for HEAD alone has to stand before it; and
    methods are matched in upper case: RFC 9110 section 9.1 tells `post` from `POST`, but many a
    web framework doesn't.

    A trie of segments: what is walked is at most the nodes that match so far, and those below
    which no route stands before the best one found are left out. The cost of a path is bounded
    by the depth of the patterns, however long the path is.
    """

    __slots__ = ("_count", "_depth", "_root")

    def __init__(self, specs: Iterable[RouteSpec] = ()) -> None:
        self._root = _Node(0)
        self._depth = 0
        self._count = 0
        for spec in specs:
            self.add(spec)

    def add(self, spec: RouteSpec) -> None:
        """Puts `spec` behind the others; about 5 us. Raises ValueError as `parse_pattern` does."""
        pattern = parse_pattern(spec.path)
        index = self._count
        node = self._root
        for segment in pattern.segments:
            child = node.parameter if segment is None else node.literals.get(segment)
            if child is None:
                child = _Node(index)
                if segment is None:
                    node.parameter = child
                else:
                    node.literals[segment] = child
            node = child
        (node.rest if pattern.rest else node.here).append(_Taker(index, spec, pattern))
        self._depth = max(self._depth, len(pattern.segments))
        self._count += 1

    def find(self, method: str, host: str, path: str) -> tuple[int, dict[str, str]] | None:
        """The index of the first route that takes the request, with the path's parameters; None
        when there is none.

        `host` is lower case without a port; `path` is normalised and starts with `/`.
        """
        # One segment more than any pattern has tells as much as all of them.
        segments = path[1:].split("/", self._depth)
        if not segments[-1]:
            segments.pop()
        count = len(segments)
        method = method.upper()
        best = self._count
        found: _Taker | None = None
        open_nodes = [(self._root, 0)]
        while open_nodes:
            node, place = open_nodes.pop()
            for takers in (node.rest, node.here) if place == count else (node.rest,):
                for taker in takers:
                    if taker.index >= best:
                        break
                    if taker.takes(method, host):
                        found, best = taker, taker.index
                        break
            if place < count:
                child = node.parameter
                if child is not None and child.least < best:
                    open_nodes.append((child, place + 1))
                child = node.literals.get(segments[place])
                if child is not None and child.least < best:
                    open_nodes.append((child, place + 1))
        if found is None:
            return None
        return best, {name: segments[place] for name, place in found.parameters}
