"""What the schema finds, in words."""

from pathlib import Path

import pytest

from tests.rules.documents import SHORTEST, Table, report, write

BAD: Table = {
    "values of the wrong form": (
        """\
        version: 2
        server: {max_connections: many, drain_timeout: 30}
        listeners:
          - name: 5
            bind: 127.0.0.1
            upstream: shop
            trusted_proxies: [10.0.0.1/8, here]
            limits: none
            timeouts: {idle: 0s}
            max_head_size: 64 KiB
            min_body_rate: 500
        admin:
        upstreams: {shop: {url: "http://u:p@127.0.0.1:8000"}}
        logs: {level: warn, access: yes, sample_refused: 1.0}
        """,
        [
            "1:10: version: 2 is not 1",
            '2:27: server.max_connections: "many" is not a whole number',
            "2:48: server.drain_timeout: a duration needs a unit: did you mean 30s or 30ms?",
            "4:11: listeners[0].name: 5 is not a name; put it in quotes if it is meant as one",
            (
                '5:11: listeners[0].bind: "127.0.0.1" is not an address such as 127.0.0.1:8080 or'
                " [::1]:8080"
            ),
            (
                '7:23: listeners[0].trusted_proxies[0]: "10.0.0.1/8" has bits set after its '
                "prefix; did you mean 10.0.0.0/8?"
            ),
            '7:35: listeners[0].trusted_proxies[1]: "here" is not a network such as 10.0.0.0/8',
            '8:13: listeners[0].limits: "none" is not a list',
            "9:22: listeners[0].timeouts.idle: must be longer than 0s",
            '10:20: listeners[0].max_head_size: "64 KiB" is not a size such as 512B, 64KiB or 10MB',
            (
                "11:20: listeners[0].min_body_rate: bytes per second needs a unit: did you mean "
                "500B/s or 500KiB/s?"
            ),
            "12:7: admin: has no value",
            "13:25: upstreams.shop.url: user names and passwords are not sent to upstreams",
            '14:15: logs.level: "warn" is not info, warning or error; did you mean "warning"?',
            '14:29: logs.access: "yes" is not true or false',
            "14:50: logs.sample_refused: a percentage needs a unit: did you mean 100% or 1.0%?",
        ],
    ),
    "a misspelt key, and what is missing elsewhere": (
        """\
        version: 1
        listeners: [{name: front, bind: 127.0.0.1:8080, upstream: shop}]
        upstreams: {shop: {}}
        routes:
          - name: a
          - name: b
            match: {path: /b}
          - name: c
            match: {path: /c}
            limits:
              - {rat: 800/s, burst: 10}
        """,
        [
            "3:19: upstreams.shop.url: is missing; or else endpoints, which are several",
            "6:5: routes[1]: never matches: routes[0] takes everything before it",
            "8:5: routes[2]: never matches: routes[0] takes everything before it",
            '11:10: routes[2].limits[0].rat: unknown key; did you mean "rate"?',
        ],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_the_schema_finds_is_said_in_words(name: str, tmp_path: Path) -> None:
    text, expected = BAD[name]

    assert report(write(tmp_path, text)) == expected


def test_a_token_of_digits_is_not_told(tmp_path: Path) -> None:
    text = SHORTEST + "admin:\n  token: ${TOKEN}\n"

    assert report(write(tmp_path, text), {"TOKEN": "123456"}) == [
        "5:10: admin.token: is not text; put it in quotes if it is meant as text"
    ]


def test_a_misspelt_key_is_not_missing_as_well(tmp_path: Path) -> None:
    text = SHORTEST.replace("{url:", "{ulr:") + "routes: [{nam: a}]\n"

    assert report(write(tmp_path, text)) == [
        '3:20: upstreams.shop.ulr: unknown key; did you mean "url"?',
        '4:11: routes[0].nam: unknown key; did you mean "name"?',
    ]
