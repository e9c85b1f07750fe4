"""Who goes first when there is not enough for all."""

from enum import IntEnum


class Priority(IntEnum):
    """A route's priority: higher ones are served at the cost of lower ones.

    The four are those of Google's criticality (Beyer et al., "Site Reliability Engineering",
    chapter 21), with names that a shop's operator would use.
    """

    LOW = 0
    NORMAL = 1
    HIGH = 2
    CRITICAL = 3
