"""The rules that all contenders are given, each in its own words.

`ROUTES` routes `/r0/`, `/r1/`, ..., each with a limit for all and one per client address, so high
that they count but never refuse; `/refused/`, which lets one request a second through and refuses
with a few words; `/refused-page/`, which refuses with `PAGE`; metrics on; one request in
`SAMPLED_ONE_IN` written to an access log.
"""

from pathlib import Path

ROUTES = 20
GENEROUS, TIGHT = 1_000_000, 1
"""Limits in requests per second: one that never refuses, one that refuses all but the first."""

SAMPLED_ONE_IN = 100

FREE = f"/r{ROUTES - 1}"
"""The last of the routes, so that none is spared the search."""

REFUSED, REFUSED_PAGE = "/refused", "/refused-page"

PAGE = Path(__file__).parents[2] / "proxy/rules/pages/busy.html"
"""What Plan B sends to people unless it is told otherwise: here all send it."""
