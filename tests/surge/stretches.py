"""A second of a surge, for tests of what shows it."""

import math
from dataclasses import replace

from proxy.surge.result import Stretch

NOTHING = Stretch(
    seconds=1.0,
    sent=0,
    good=0,
    late=0,
    refused=0,
    left=0,
    wrong=0,
    served_p50=math.nan,
    served_p99=math.nan,
    refused_p50=math.nan,
    refused_p99=math.nan,
)
PROTECTED = replace(
    NOTHING,
    sent=1600,
    good=160,
    refused=1440,
    served_p50=0.041,
    served_p99=0.044,
    refused_p50=0.0002,
    refused_p99=0.0008,
)
BROKEN = replace(NOTHING, sent=4000, left=3900, wrong=100)
