"""The section `logs`: every key, what it means, and what it may hold."""

from typing import Literal

from proxy.rules.section import Section
from proxy.rules.section import key as _key
from proxy.rules.values import Ratio, Truth


class Logs(Section):
    """What is written to the log."""

    format: Literal["console", "json"] = _key("For people, or one JSON object a line.", "console")
    level: Literal["info", "warning", "error"] = _key(
        "The least that is written. It does not hold for the lines of requests (access).", "info"
    )
    access: Truth = _key("Whether requests are logged.", True)
    sample_admitted: Ratio = _key(
        "The share of admitted requests that is logged. Those that fail upstream are all logged, "
        "up to 10 a second.",
        "100%",
    )
    sample_refused: Ratio = _key("The share of refused requests that is logged.", "1%")
