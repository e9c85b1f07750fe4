"""A nameserver on loopback that says what the test wants, and counts who asks."""

import asyncio
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class NameServer(asyncio.DatagramProtocol):
    """Answers with `records` (`{("shop.test", "A"): (ttl, [...])}`), or else that there are none.

    A CNAME is followed. Of the kinds in `failing` it says that it failed. While `silent` it does
    not answer at all; `raw`, if there is any, is sent instead of an answer, after the query's id.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.failing: set[str] = set()
        self.silent = False
        self.raw = b""
        self.asked: list[tuple[str, str]] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._transport.close()

    @property
    def at(self) -> tuple[str, int]:
        """Where it is."""
        return "127.0.0.1", self.port

    def datagram_received(self, data: bytes, address: tuple[str | object, int]) -> None:
        """Of asyncio's protocol."""
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True), question.rdtype.name
        self.asked.append((name, kind))
        if self.silent:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if kind in self.failing:
            answer.set_rcode(dns.rcode.SERVFAIL)
        while (name, "CNAME") in self.records:
            ttl, (target,) = self.records[name, "CNAME"]
            answer.answer.append(dns.rrset.from_text(f"{name}.", ttl, "IN", "CNAME", f"{target}."))
            name = target
        if (name, kind) in self.records:
            ttl, values = self.records[name, kind]
            answer.answer.append(dns.rrset.from_text(f"{name}.", ttl, "IN", kind, *values))
        elif not any(known == name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(data[:2] + self.raw if self.raw else answer.to_wire(), address)
