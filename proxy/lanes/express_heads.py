"""Heads as they come in on the express lane: nearly always whole, sometimes in pieces."""

from proxy.wire.request_head import RequestHead, RequestHeadReader, whole_request_head
from proxy.wire.scanned_head import scanned_request_head


class Heads:
    """Reads one head after the other. `begun`: the bytes of one that is not complete yet; `rest`:
    what follows the one that `read` has returned.
    """

    __slots__ = ("_reader", "begun", "rest")

    def __init__(self) -> None:
        self._reader: RequestHeadReader | None = None
        self.begun = bytearray()
        self.rest = b""

    def read(self, data: bytes, max_bytes: int) -> RequestHead | None:
        """The head that is complete with `data`; None when it goes on.

        Raises BadMessage; `begun` then holds all of it.
        """
        reader = self._reader
        if reader is None:
            scanned = scanned_request_head(data, max_bytes)
            if scanned is not None:
                self.rest = data[len(scanned.text) :]
                return scanned
            found = whole_request_head(data, max_bytes)
            if found is not None:
                head, end = found
                self.rest = data[end:]
                return head
            reader = self._reader = RequestHeadReader(max_bytes)
        self.begun += data
        whole = reader.feed(data)
        if whole is None:
            return None
        self._reader = None
        self.rest = reader.rest
        return whole

    def forget(self) -> None:
        """The head that was read in pieces has been dealt with."""
        self.begun = bytearray()
