"""The express lane's connections to an upstream, between two exchanges."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.lanes.express_upstream import UpstreamLink


class RestingLinks:
    """Connections to one upstream that carry nothing; the last used is taken first, so that those
    which are not needed come to their idle time-out.
    """

    __slots__ = ("_links", "closed")

    def __init__(self) -> None:
        self._links: dict[UpstreamLink, None] = {}
        self.closed = False

    def __len__(self) -> int:
        return len(self._links)

    def take(self) -> "UpstreamLink | None":
        """One that is fit to carry an exchange; those that are not are closed."""
        links = self._links
        while links:
            link, _ = links.popitem()
            if link.is_alive():
                return link
            link.close()
        return None

    def add(self, link: "UpstreamLink") -> bool:
        """Keeps `link`, which carries nothing. False if none are needed any more."""
        if self.closed:
            return False
        self._links[link] = None
        return True

    def remove(self, link: "UpstreamLink") -> None:
        """`link`, which may rest, is to be closed."""
        self._links.pop(link, None)

    def close_oldest(self) -> bool:
        """Closes the one that has rested longest; False if none does."""
        for link in self._links:
            del self._links[link]
            link.close()
            return True
        return False

    def close(self) -> None:
        """Closes all, and keeps no more."""
        self.closed = True
        while self._links:
            self._links.popitem()[0].close()
