"""Who is at the other end of a client's connection, as the rules of now see it."""

from proxy.policy.snapshot import ListenerSpec
from proxy.wire.client import client_behind, client_key, is_trusted
from proxy.wire.field_line import FORWARDED_FOR
from proxy.wire.request_head import RequestHead


class Client:
    """The peer of a connection, and the client that it speaks for.

    `peer` is its address (empty for none), `trusted` whether its forwarding fields are believed.
    `address` and `key` (what it is counted by) are those of the request read last: a trusted
    peer speaks for many.
    """

    __slots__ = ("_spec", "address", "key", "peer", "trusted")

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.trusted = False
        self.address = ""
        self.key = b""
        self._spec: ListenerSpec | None = None

    def read(self, spec: ListenerSpec, head: RequestHead) -> None:
        """Takes in a request with `head`, on a listener whose rules are `spec` now.

        Only what may have changed is looked at again.
        """
        if spec is not self._spec:
            self._spec = spec
            self.trusted = is_trusted(self.peer, spec.trusted_proxies)
            self._count_as(client_behind(self.peer, [], spec.trusted_proxies))
        if self.trusted:
            forwarded_for = head.values(FORWARDED_FOR)
            self._count_as(client_behind(self.peer, forwarded_for, spec.trusted_proxies))

    def _count_as(self, address: str) -> None:
        self.address = address
        self.key = client_key(address)
