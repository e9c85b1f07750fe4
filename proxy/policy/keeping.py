"""Which requests a route's stored responses are for, and what tells one from another."""

import re
from collections.abc import Callable, Iterable
from typing import Final

from proxy.policy.reasons import Reason
from proxy.policy.request import MOST_PAIRS, Request
from proxy.policy.snapshot import KeepSpec
from proxy.policy.stored_response import StoredResponse
from proxy.policy.stored_responses import StoredResponses, key_of

REFRESH_AFTER: Final = 1.0
"""Seconds for which a stored response that only stands by for a bad day is not replaced: keeping
one costs some ten microseconds, and a hot page is answered a thousand times a second."""

EVERY_COOKIE: Final = "*"

# What makes the request another one: an answer only if it has changed (RFC 9110 section 13); and
# another method or path than it looks, to some frameworks, or another protocol.
_CONDITIONS: Final = frozenset(
    {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range"}
)
# Those by which a client asks whether what it has is still good. Without them the shop sends the
# whole, which is for all, and they are ours to answer then. So do nginx's proxy_cache and Varnish.
_REVALIDATION: Final = frozenset({b"if-none-match", b"if-modified-since"})
_OTHERWISE: Final = frozenset(
    {
        *(b"x-http-method-override", b"x-http-method", b"x-method-override"),
        *(b"x-original-url", b"x-rewrite-url"),
        b"upgrade",
    }
)
# What shops build links from. Only trusted proxies get most of them through, but who knows from
# where they have them. Besides, all of `X-Forwarded-*` but `X-Forwarded-For`, which is every
# client's own, and no page is made of it.
_ORIGINS: Final = frozenset(
    {
        *(b"forwarded", b"front-end-https", b"x-host", b"x-http-host-override"),
        *(b"x-original-host", b"x-scheme", b"x-url-scheme"),
    }
)
_ORIGINS_PREFIX: Final = b"x-forwarded-"
_OF_EVERY_CLIENT: Final = b"x-forwarded-for"
# The same in `Forwarded` (RFC 7239 section 5).
_ADDRESS = re.compile(rb"[ \t]*(?:for|by)=[^ \t]*[ \t]*", re.IGNORECASE)

# Who says with them who it is; `Cookie` is looked at more closely.
_CREDENTIALS: Final = frozenset(
    {
        *(b"api-key", b"authorization", b"proxy-authorization", b"x-access-token", b"x-api-key"),
        *(b"x-auth-token", b"x-authorization", b"x-session-id", b"x-session-token"),
    }
)

# Others do not reach the shop, though the client has sent them and the key holds what they say.
_USUAL_OPTIONS: Final = frozenset(
    {b"", b"close", b"http2-settings", b"keep-alive", b"proxy-connection", b"te", b"upgrade"}
)

# A parameter that all servers read alike: others see `;` as `&` (CVE-2021-23336), `a[]`, ` a` and
# `a.b` as `a` and `a_b` (PHP), or decode the name.
_PLAIN_PARAMETER = re.compile(rb"([A-Za-z0-9_-]+)(?:=[^;]*+)?")


_AS_WORD: Final = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else 0x5F for code in range(256)
)
"""Lower case, and whatever is no letter or digit as `_`: a table for `bytes.translate`."""


class Lookup:
    """A request's place among the stored responses.

    `key` is what it is found by. `personal`: the request has credentials, or cookies that the
    rules don't name; its answer is nobody else's, and no fresh one is sent to it. `keepable`: its
    answer may be kept, if the answer allows it. `whole`: then the shop is not to be told on what
    conditions its client wants one.

    What became of it: `leads`: others may wait for its answer, by `full_key`; `when_followed` is
    called, once, when one of them comes. `served` is the stored response that was sent, or is to
    be; `collapsed`: another request had just brought it; `stands_in`: it was sent because the
    shop's own answer was not to be had, to another request `because` of that reason.
    """

    __slots__ = (
        "because", "collapsed", "full_key", "keepable", "keeping", "key", "leads", "personal",
        "request", "served", "stands_in", "when_followed", "whole",
    )  # fmt: skip

    def __init__(
        self,
        keeping: "Keeping",
        key: bytes,
        request: Request,
        *,
        personal: bool,
        keepable: bool,
        whole: bool = False,
    ) -> None:
        self.keeping = keeping
        self.key = key
        self.request = request
        self.personal = personal
        self.keepable = keepable
        self.whole = whole
        self.leads = False
        self.full_key = b""
        self.when_followed: Callable[[], object] | None = None
        self.served: StoredResponse | None = None
        self.collapsed = False
        self.stands_in = False
        self.because: Reason | None = None

    def fresh(self, now: float) -> StoredResponse | None:
        """What may be sent without asking the shop."""
        if self.personal:
            return None
        ttl = self.keeping.spec.ttl
        found = self.keeping.store.find(self.key, self.request)
        return found if found is not None and found.left(ttl, now) > 0.0 else None

    def last_good(self, now: float) -> StoredResponse | None:
        """What may be sent because the shop's own answer is not to be had.

        To personal requests, too: nothing in it is anybody's, and the shop has not said that a
        cookie makes a difference (`Vary`), or it would not be found. Whatever the shop says of
        freshness: the rule that allows it speaks for the shop (RFC 9111 section 4.2.4), as
        `stale-if-error` would (RFC 5861 section 4).
        """
        longest = self.keeping.spec.last_good_for
        if longest is None:
            return None
        found = self.keeping.store.find(self.key, self.request)
        return found if found is not None and now - found.arrived_at <= longest else None

    def wants(self, now: float) -> bool:
        """Whether a new answer is to be kept in the place of what there is."""
        if not self.keepable:
            return False
        found = self.keeping.store.find(self.key, self.request)
        if found is None:
            return True
        age, ttl = now - found.arrived_at, self.keeping.spec.ttl
        # One that was fresh for a moment only is of no use to the cache from then on.
        return age >= min(REFRESH_AFTER, ttl or REFRESH_AFTER) or (
            ttl > 0.0 and 0.0 < found.fresh_for <= age
        )

    def keep(self, response: StoredResponse) -> bytes:
        """Keeps `response`; the whole key that it is kept by."""
        return self.keeping.store.keep(self.key, self.request, response)

    def drop(self) -> bytes:
        """The shop says that there is nothing any more; the whole key of what it was kept by."""
        return self.keeping.store.drop(self.key, self.request)


class Keeping:
    """What is kept of one route on one listener.

    `origin` stands for whoever answers there: what one upstream said is never another's word.
    """

    __slots__ = (
        "_every_cookie", "_folded", "_headers", "_ignored", "_keyed", "_keyed_cookies", "_prefix",
        "_query", "_watched", "spec", "store",
    )  # fmt: skip

    def __init__(self, spec: KeepSpec, store: StoredResponses, origin: Iterable[str]) -> None:
        self.spec = spec
        self.store = store
        # A key that is made by other rules is another key: those of a change of rules don't mix.
        rule = repr((tuple(origin), spec.query, spec.cookies, spec.headers, spec.ignored_cookies))
        self._prefix = key_of([rule.encode("utf-8", "surrogatepass")])
        self._query = None if spec.query is None else {each.lower().encode() for each in spec.query}
        self._keyed_cookies = [each.encode() for each in spec.cookies]
        self._keyed = frozenset(self._keyed_cookies)
        self._folded = frozenset([_folded(each) for each in self._keyed_cookies])
        self._ignored = frozenset([each.encode() for each in spec.ignored_cookies])
        self._every_cookie = EVERY_COOKIE in spec.ignored_cookies
        self._headers = [each.encode() for each in spec.headers]
        self._watched = frozenset(
            {
                *(b"cache-control", b"connection", b"cookie", b"host", b"range"),
                *_CONDITIONS,
                *_CREDENTIALS,
                *_ORIGINS,
                *_OTHERWISE,
                *self._headers,
            }
        )

    def lookup(self, request: Request) -> Lookup | None:
        """The place of `request`; None when stored responses are not for it."""
        # A body may change the answer, though it means nothing (RFC 9110 section 9.3.1).
        if request.method not in ("GET", "HEAD") or request.length != 0:
            return None
        found: dict[bytes, bytes] = {}
        watched = self._watched
        for field, value in request.fields:
            name = field.lower()
            if name in watched or (name[:12] == _ORIGINS_PREFIX and name != _OF_EVERY_CLIENT):
                found[name] = b"%b, %b" % (found[name], value) if name in found else value
        if not _OTHERWISE.isdisjoint(found):
            return None
        options = found.pop(b"connection", b"").lower()
        if options not in _USUAL_OPTIONS and not _USUAL_OPTIONS.issuperset(
            option.strip() for option in options.split(b",")
        ):
            return None
        host = found.pop(b"host", b"")
        parts = [self._prefix, self._target(request), host]
        personal = False
        if found:
            if (chain := found.pop(b"forwarded", None)) is not None:
                said = [pair for pair in re.split(b"[;,]", chain) if not _ADDRESS.fullmatch(pair)]
                if said:
                    found[b"forwarded"] = b";".join(said)
            # Each part says what it is, so that what is not there need not be said.
            origins = [
                name for name in found if name in _ORIGINS or name.startswith(_ORIGINS_PREFIX)
            ]
            parts += [b"o:" + each for each in _said(found, sorted(origins))]
            parts += [b"h:" + each for each in _said(found, self._headers)]
            cookies = found.get(b"cookie")
            if cookies is not None and b"cookie" not in self._headers:
                known = self._known_cookies(cookies)
                personal = known is None
                if known:
                    parts += [b"c:" + each for each in _said(known, self._keyed_cookies)]
            if not _CREDENTIALS.isdisjoint(found):
                personal = personal or any(
                    name in found and name not in self._headers for name in _CREDENTIALS
                )
        conditions = _CONDITIONS.intersection(found)
        keepable = (
            not personal
            and request.method == "GET"
            and b"range" not in found
            and (not conditions or (self.spec.ttl > 0.0 and conditions <= _REVALIDATION))
            # RFC 9111 section 5.2.1.5; no other wish of a client makes a difference, or one
            # `no-cache` each would be a way to the shop for everybody.
            and b"no-store" not in found.get(b"cache-control", b"").lower()
        )
        key = key_of(parts)
        whole = keepable and bool(conditions)
        return Lookup(self, key, request, personal=personal, keepable=keepable, whole=whole)

    def _target(self, request: Request) -> bytes:
        """What the shop is sent, byte for byte, but for parameters that make no difference."""
        named = self._query
        if named is None or not request.query:
            return request.target
        pairs = request.query.split(b"&", MOST_PAIRS)
        if len(pairs) > MOST_PAIRS:
            return request.target
        kept = b"&".join([pair for pair in pairs if _may_matter(pair, named)])
        path = request.target[: len(request.target) - len(request.query) - 1]
        return b"%b?%b" % (path, kept) if kept else path

    def _known_cookies(self, line: bytes) -> dict[bytes, bytes] | None:
        """The cookies in `line` by which answers are told apart, by name; None if there are
        others than the rules name, or if servers may read the line differently.

        Values are taken as they stand. Some servers decode names, split at commas, take a quoted
        string for one value, or have their own idea of which counts of two.
        """
        keyed: dict[bytes, bytes] = {}
        if self._every_cookie and not self._keyed_cookies:
            return keyed
        if line.translate(None, b'",\\') != line or line.count(b";") >= MOST_PAIRS:
            return None
        for pair in line.split(b";"):
            name, equals, value = pair.strip().partition(b"=")
            if name in self._keyed:
                if name in keyed:
                    return None
                keyed[name] = value
            elif (name or equals) and not self._makes_no_difference(name):
                return None
        return keyed

    def _makes_no_difference(self, cookie: bytes) -> bool:
        """Whether the rules ignore it, and no server takes it for one that they don't."""
        if cookie in self._ignored:
            return True
        return self._every_cookie and b"%" not in cookie and _folded(cookie) not in self._folded


def _folded(cookie: bytes) -> bytes:
    """A cookie's name for the most willing: without case (ASP.NET) and space, `a.b` and `a[b]` as
    `a_b` and `a` (PHP).
    """
    return cookie.partition(b"[")[0].strip().translate(_AS_WORD)


def _said(found: dict[bytes, bytes], names: Iterable[bytes]) -> list[bytes]:
    return [b"%b=%b" % (name, found[name]) for name in names if name in found]


def _may_matter(pair: bytes, named: set[bytes]) -> bool:
    plain = _PLAIN_PARAMETER.fullmatch(pair)
    return plain is None or plain[1].lower() in named
