"""What each of several may have of something that is not enough for all."""

from collections.abc import Sequence


def fair_level(demands: Sequence[float], capacity: float) -> float:
    """The most that each may take so that all together take `capacity`: the max-min fair share.

    Who wants less takes what it wants; the others take `level` each, all the same (water-filling:
    Bertsekas and Gallager, "Data Networks", 2nd edition, section 6.5.2). So nobody could have more
    without another, who has no more than that, having less; and who claims to want more than it
    does gets nothing by it but what is everybody's.

    Where there is enough for all the one that wants most could have besides what is left over.
    All in the same unit; nothing is negative. O(n log n).
    """
    left = capacity
    takers = len(demands)
    level = capacity
    for demand in sorted(demands):
        level = left / takers
        if demand > level:
            return level
        left -= demand
        takers -= 1
        level = demand + left
    return level
