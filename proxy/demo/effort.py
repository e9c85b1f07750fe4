"""How long the shop takes for a request: a model, so that it is the same on every machine.

A request holds its thread and its database connection for `unit` seconds times its share, whatever
the machine: real work of a few hundred microseconds, the rest spent waiting for a database that is
elsewhere. So 8 threads and 40 ms make 200 requests per second.

The longer the queue, the slower every request. In a real shop that is memory for requests and
sessions, garbage collection, cold caches, lock waits and swapping: throughput falls when load grows
beyond capacity (Gunther's universal scalability law, "Guerrilla Capacity Planning", 2007, ch. 4),
and a shop that has a backlog has less capacity to work it off than one that has none (Bronson et
al., "Metastable Failures in Distributed Systems", HotOS 2021). Here the slowing is linear up to
`SLOWEST`.
"""

from dataclasses import dataclass

QUEUE_THAT_DOUBLES = 500
SLOWEST = 4.0


@dataclass(frozen=True)
class Effort:
    """The model's only parameter: `unit`, the seconds that an item's page takes an idle shop."""

    unit: float

    def seconds(self, share: float, waiting: int) -> float:
        """How long a request takes that needs `share` of the unit while `waiting` others wait."""
        return self.unit * share * min(1.0 + waiting / QUEUE_THAT_DOUBLES, SLOWEST)
