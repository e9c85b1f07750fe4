"""A target on this machine, for tests that have its server."""

from proxy.surge.generator import get
from proxy.surge.target import Target


def near(port: int, *paths: str) -> Target:
    requests = tuple(get("127.0.0.1", port, path) for path in paths or ("/",))
    return Target(f"http://127.0.0.1:{port}", "127.0.0.1", port, requests)
