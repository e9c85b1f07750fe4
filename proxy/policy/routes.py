"""Which route takes a request."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.policy.request import NO_PARAMETERS
from proxy.policy.snapshot import RouteSpec

REST = "**"
"""The last segment of a pattern that takes whatever follows, nothing included."""

MEMO_ENTRIES: Final = 1024
"""So many requests' routes are remembered: enough for the pages of a sale."""

ONE_IN_MISSES: Final = 8
"""Of what the memo doesn't know, every eighth is put in: what many ask for is there soon, and what
is asked for once neither costs much nor crowds out the rest.
"""

LONGEST_IN_MEMO: Final = 256
"""Characters of method, host and path together that are remembered: with it, a memo of what a
client has made up takes no more than some 1.5 MB.
"""

Found = tuple[int, Mapping[str, str]]
"""A route's index and the path's parameters."""

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

    __slots__ = ("any_host", "hosts", "index", "methods", "parameters", "suffixes")

    def __init__(self, index: int, spec: RouteSpec, pattern: Pattern) -> None:
        self.index = index
        self.methods = {method.upper() for method in spec.methods}
        if "GET" in self.methods:
            self.methods.add("HEAD")
        self.hosts = frozenset(host for host in spec.hosts if not host.startswith("*."))
        self.suffixes = tuple(host[1:] for host in spec.hosts if host.startswith("*."))
        self.any_host = not spec.hosts
        # Places in a path that is split with the empty segment before its first `/`.
        self.parameters = [(name, place + 1) for name, place in pattern.parameters]

    def takes(self, method: str, host: str) -> bool:
        methods = self.methods
        if methods and method not in methods and method.upper() not in methods:
            return False
        return self.any_host or host in self.hosts or host.endswith(self.suffixes)


class _Node:
    """What paths that begin alike have in common. `least` is the smallest index at or below."""

    __slots__ = ("here", "least", "literals", "parameter", "rest")

    def __init__(self, least: int) -> None:
        self.least = least
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        # Routes that take whatever follows, and those with the ones that end here; by index.
        self.rest: list[_Taker] = []
        self.here: list[_Taker] = []


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

    What was found is remembered, since in a sale most ask for the same few pages: a fifth of a
    walk's cost. The memo forgets all when it is full, so who asks for ever new paths can't make
    it grow, and does not make anything slower but by a failed look-up.
    """

    __slots__ = ("_count", "_depth", "_memo", "_misses", "_root")

    def __init__(self, specs: Iterable[RouteSpec] = ()) -> None:
        self._root = _Node(0)
        self._depth = 0
        self._count = 0
        self._memo: dict[tuple[str, str, str], Found] = {}
        self._misses = 0
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
        taker = _Taker(index, spec, pattern)
        node.here.append(taker)
        if pattern.rest:
            node.rest.append(taker)
        self._depth = max(self._depth, len(pattern.segments))
        self._count += 1
        self._memo.clear()

    def find(self, method: str, host: str, path: str) -> Found | None:
        """The index of the first route that takes the request, with the path's parameters; None
        when there is none.

        `host` is lower case without a port; `path` is normalised and starts with `/`.
        """
        # Never taken apart here, so that the compiled wheel need not put it together again.
        found = self._memo.get((method, host, path))
        if found is None:
            found = self._search(method, host, path)
        return found

    def _search(self, method: str, host: str, path: str) -> Found | None:
        """What `find` has no memory of, and may have from now on."""
        # One segment more than any pattern has tells as much as all of them. The first is what
        # stands before the first `/`: nothing.
        segments = path.split("/", self._depth + 1)
        if not segments[-1]:
            segments.pop()
        taker = self._walk(method, host, segments)
        if taker is None:
            return None
        parameters = NO_PARAMETERS
        if taker.parameters:
            parameters = {}
            for name, place in taker.parameters:
                parameters[name] = segments[place]
        found = (taker.index, parameters)
        self._misses += 1
        if self._misses >= ONE_IN_MISSES:
            self._misses = 0
            if len(path) + len(host) + len(method) <= LONGEST_IN_MEMO:
                if len(self._memo) >= MEMO_ENTRIES:
                    self._memo.clear()
                self._memo[method, host, path] = found
        return found

    def _walk(self, method: str, host: str, segments: list[str]) -> _Taker | None:
        """The first route that takes the request; the first segment is what stands before `/`."""
        count = len(segments)
        found: _Taker | None = None
        best = self._count
        # Parameters where a literal matched as well, and how far the walk was there.
        aside: list[tuple[_Node, int]] = []
        node, place = self._root, 1
        while True:
            literal: _Node | None = None
            parameter: _Node | None = None
            takers = node.here
            if place < count:
                takers = node.rest
                if node.literals:
                    literal = node.literals.get(segments[place])
                parameter = node.parameter
                place += 1
            if takers:
                for taker in takers:
                    if taker.index >= best:
                        break
                    if taker.takes(method, host):
                        found, best = taker, taker.index
                        break
            if literal is not None and literal.least < best:
                if parameter is not None and parameter.least < best:
                    aside.append((parameter, place))
                node = literal
            elif parameter is not None and parameter.least < best:
                node = parameter
            elif aside:
                node, place = aside.pop()
            else:
                return found
