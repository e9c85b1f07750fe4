"""Which form of an answer a client wants (RFC 9110 section 12.5)."""

import re
from typing import Final

from proxy.policy.answers import Answer, Form
from proxy.wire.grammar import TOKEN
from proxy.wire.recent import Recent

MAX_FIELD_BYTES: Final = 1024
"""What stands further right in `Accept` or `Accept-Language` is not read."""

_RANGE = re.compile(
    rb"[ \t]*([" + TOKEN + rb"]+)(?:/([" + TOKEN + rb"]+))?[ \t]*(?:;(.*))?", re.DOTALL
)
_WEIGHT = re.compile(rb"(?:^|;)[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*(?:;|$)")
_ANY_WEIGHT = re.compile(rb"(?:^|;)[ \t]*[qQ][ \t]*=")

_MOST_REMEMBERED = 512
"""Choices per generation. With the longest fields they take 2 MiB."""

# By the identity of the forms and both fields. The forms are kept with the choice, so that no
# others can take their place in memory, and with it their identity.
_chosen: Final[Recent[tuple[int, bytes | None, bytes | None], tuple[tuple[Form, ...], Form]]] = (
    Recent(_MOST_REMEMBERED)
)

_Ranges = list[tuple[str, float]]
_Kinds = tuple[tuple[str, str], ...]


def choose_form(
    answer: Answer, accept: bytes | None, accept_language: bytes | None, *, safe: bool = True
) -> Form:
    """The form of `answer` that suits the client best; never raises.

    First the media type: by its weight, then by how exactly it was named, then by its place in
    `Accept`, so that `application/json, */*` gets JSON. `application/json` takes any `+json`.
    Parameters other than `q` are not looked at. Types that suit alike go by the order of the
    forms; forms of one type by language, its weight and place, then by their order. A missing
    or meaningless field accepts everything; who accepts none of the media types is most likely
    a program and gets JSON, else the first form. `safe`: the request was a GET or HEAD; others
    choose among `unsafe_forms`, where there are any.
    """
    forms = answer.forms if safe else answer.unsafe_forms or answer.forms
    if len(forms) == 1:
        return forms[0]
    if accept is not None and len(accept) > MAX_FIELD_BYTES:
        accept = accept[:MAX_FIELD_BYTES]
    if accept_language is not None and len(accept_language) > MAX_FIELD_BYTES:
        accept_language = accept_language[:MAX_FIELD_BYTES]
    key = (id(forms), accept, accept_language)
    chosen = _chosen.find(key)
    if chosen is None:
        kinds = tuple([(form.media_type, form.language) for form in forms])
        chosen = forms, forms[_choose(kinds, accept or b"", accept_language or b"")]
        _chosen.keep(key, chosen)
    return chosen[1]


def _choose(kinds: _Kinds, accept: bytes, accept_language: bytes) -> int:
    media_ranges = _ranges(accept, media=True) or [("*/*", 1.0)]
    language_ranges = _ranges(accept_language, media=False)
    types = [media_type for media_type, _ in kinds]
    ranks = {media_type: _media_rank(media_type, media_ranges) for media_type in types}
    # Of equals `max` takes the first.
    chosen = max(types, key=lambda media_type: ranks[media_type])
    if not ranks[chosen][0]:
        chosen = max(types, key=lambda media_type: media_type.endswith("json"))
    return max(
        (index for index, media_type in enumerate(types) if media_type == chosen),
        key=lambda index: _language_rank(kinds[index][1], language_ranges),
    )


def _ranges(field: bytes, *, media: bool) -> _Ranges:
    """The ranges with their weights, in order; malformed ones left out."""
    found: _Ranges = []
    for element in field.split(b","):
        match = _RANGE.fullmatch(element)
        if match is None or bool(match[2]) != media:
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
    """Weight, exactness and place of the most exact range that matches.

    `application/json` counts as much as the whole name of a `+json`, unless both are there.
    """
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
    return weight, min(exact, 3), place


def _language_rank(language: str, ranges: _Ranges) -> tuple[float, ...]:
    """Weight and place of the best range that matches (RFC 4647 section 3.4), if any is given.

    A form without a language suits everybody, but less than one in a language that was asked
    for; one in a language not asked for suits nobody.
    """
    if not ranges:
        return (0.0,)
    if not language:
        return (0.0005,)
    matching = [
        (weight, -place)
        for place, (name, weight) in enumerate(ranges)
        if name.partition("-")[0] == language
    ] or [(weight, -place) for place, (name, weight) in enumerate(ranges) if name == "*"]
    return max(matching) if matching else (0.0,)
