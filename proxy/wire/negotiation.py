"""Which form of an answer a client wants (RFC 9110 section 12.5)."""

import re
from functools import lru_cache

from proxy.policy.answers import Answer, Form
from proxy.wire.grammar import TOKEN

MAX_FIELD_BYTES = 1024
"""What stands further right in `Accept` or `Accept-Language` is not read."""

_RANGE = re.compile(
    rb"[ \t]*([" + TOKEN + rb"]+)(?:/([" + TOKEN + rb"]+))?[ \t]*(?:;(.*))?", re.DOTALL
)
_WEIGHT = re.compile(rb"(?:^|;)[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*(?:;|$)")
_ANY_WEIGHT = re.compile(rb"(?:^|;)[ \t]*[qQ][ \t]*=")

_Ranges = list[tuple[str, float]]
_Kinds = tuple[tuple[str, str], ...]


def choose_form(
    answer: Answer, accept: bytes | None, accept_language: bytes | None, *, safe: bool = True
) -> Form:
    """The form of `answer` that suits the client best; never raises.

    First the media type: by its weight, then by how exactly it was named, then by its place in
    `Accept`, so that `application/json, */*` gets JSON. `application/json` takes any `+json`.
    Parameters other than `q` are not looked at. Then the language, by weight and place. Then the
    order of the forms. A missing or meaningless field accepts everything; who accepts none of
    the media types is most likely a program and gets JSON, else the first form. `safe`: the
    request was a GET or HEAD; others choose among `unsafe_forms`, where there are any.
    """
    forms = answer.forms if safe else answer.unsafe_forms or answer.forms
    if len(forms) == 1:
        return forms[0]
    kinds = tuple([(form.media_type, form.language) for form in forms])
    return forms[
        _choose(
            kinds,
            accept[:MAX_FIELD_BYTES] if accept else b"",
            accept_language[:MAX_FIELD_BYTES] if accept_language else b"",
        )
    ]


@lru_cache(maxsize=1024)
def _choose(kinds: _Kinds, accept: bytes, accept_language: bytes) -> int:
    media_ranges = _ranges(accept, "/") or [("*/*", 1.0)]
    language_ranges = _ranges(accept_language, "")
    best = -1
    best_rank: tuple[tuple[float, ...], tuple[float, ...]] = ((0.0,), ())
    for index, (media_type, language) in enumerate(kinds):
        rank = _media_rank(media_type, media_ranges), _language_rank(language, language_ranges)
        if rank[0][0] > 0 and rank > best_rank:
            best, best_rank = index, rank
    if best >= 0:
        return best
    ranks = [
        (media_type.endswith("json"), _language_rank(language, language_ranges))
        for media_type, language in kinds
    ]
    return ranks.index(max(ranks))


def _ranges(field: bytes, separator: str) -> _Ranges:
    """The ranges with their weights, in order; malformed ones left out."""
    found: _Ranges = []
    for element in field.split(b","):
        match = _RANGE.fullmatch(element)
        if match is None or bool(match[2]) != bool(separator):
            continue
        name = match[1] if match[2] is None else match[1] + b"/" + match[2]
        weight = 1.0
        if match[3] is not None and _ANY_WEIGHT.search(match[3]):
            value = _WEIGHT.search(match[3])
            if value is None:
                continue
            weight = float(value[1])
        found.append((name.decode("ascii").lower(), weight))
    return found


def _media_rank(media_type: str, ranges: _Ranges) -> tuple[float, ...]:
    """Weight, exactness and place of the most exact range that matches."""
    main, _, subtype = media_type.partition("/")
    exactness = {media_type: 4, f"{main}/*": 2, "*/*": 1}
    if subtype.endswith("+json"):
        exactness.setdefault(f"{main}/json", 3)
    matching = [
        (exactness[name], weight, -place)
        for place, (name, weight) in enumerate(ranges)
        if name in exactness
    ]
    if not matching:
        return (0.0,)
    exact, weight, place = max(matching)
    return weight, exact, place


def _language_rank(language: str, ranges: _Ranges) -> tuple[float, ...]:
    """Weight and place of the best range that matches (RFC 4647 section 3.4).

    A form without a language suits everybody, but less than one in a language that was asked
    for; one in a language not asked for suits nobody.
    """
    if not language:
        return (0.0005,)
    matching = [
        (weight, -place)
        for place, (name, weight) in enumerate(ranges)
        if name.partition("-")[0] == language
    ] or [(weight, -place) for place, (name, weight) in enumerate(ranges) if name == "*"]
    return max(matching) if matching else (0.0,)
