"""The body of a request on the express lane."""

from time import monotonic
from typing import TYPE_CHECKING

from proxy.lanes.byte_queue import HIGH_WATER_BYTES
from proxy.lanes.express_upstream import UpstreamLink

if TYPE_CHECKING:
    from proxy.lanes.express_downstream import ExpressConnection


class Upload:
    """A body of known length on its way upstream, under flow control.

    `left` are the bytes that the client has not sent yet, `passed_on` those that went upstream.
    What comes before there is a connection is held, up to `HIGH_WATER_BYTES` and one read. With
    `holds` all of it is, so that it can be sent again: it is not to be larger then.
    """

    __slots__ = (
        "_downstream", "_held", "_refused", "_since", "_waited", "holds", "left", "passed_on",
    )  # fmt: skip

    def __init__(self, downstream: "ExpressConnection", length: int) -> None:
        self.left = length
        self.passed_on = 0
        self.holds = False
        self._downstream = downstream
        self._held = bytearray()
        # Whether the upstream has said its last before it had all.
        self._refused = False
        # Since when we wait for the client (0.0: we don't), and how long we have in all.
        self._since = 0.0
        self._waited = 0.0

    @property
    def over(self) -> bool:
        """Whether nothing more will go upstream."""
        return not self.left or self._refused

    @property
    def complete(self) -> bool:
        """Whether all of it was written to the upstream."""
        return not self.left and not self._refused

    def begin(self) -> bytes:
        """What was held, which goes upstream with the head."""
        held = bytes(self._held)
        if not self.holds:
            self._held.clear()
        self.passed_on = len(held)
        return held

    def rewind(self) -> None:
        """It is to be sent again, from its beginning, which is held or was not sent yet."""
        self.passed_on = 0
        self._refused = False
        self._since = 0.0
        self._downstream.patience.clear()

    def take(self, data: bytes, link: UpstreamLink | None) -> None:
        """Passes `data`, of what is left, on.

        Raises nothing when the upstream takes no more: its answer may be on its way.
        """
        self.left -= len(data)
        if link is None or self.holds:
            self._held += data
        if link is None:
            if len(self._held) > HIGH_WATER_BYTES:
                self._downstream.pause_reading()
            return
        if self._since:
            self._waited += monotonic() - self._since
            self._since = 0.0
        self.passed_on += len(data)
        if not link.send(data):
            self._refused = True
        if self.over:
            self._downstream.patience.clear()

    def wait_for_more(self, link: UpstreamLink, now: float) -> None:
        """Waits for more, from the client, or else until `link` has room for it."""
        if link.writing_paused:
            self._downstream.patience.clear()
            self._downstream.pause_reading()
        else:
            self._downstream.resume_reading()
            self._expect(now)

    def _expect(self, now: float) -> None:
        """Waits for a client that must keep up a least rate.

        As in Apache's mod_reqtimeout: a grace, and a second more for every so many bytes. Only
        the time in which we wait for the client counts. Whatever it has earned, it is never
        silent for longer than the grace.
        """
        self._since = now
        listener = self._downstream.rules()
        earned = self.passed_on / listener.min_body_bytes_per_second
        grace = listener.timeouts.body
        self._downstream.patience.set(now + min(grace, grace + earned - self._waited))
