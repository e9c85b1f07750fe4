"""HTTP/1.1 syntax: bytes in, values out, and back; no asyncio, no I/O, no clock.

Strict with requests, for what two readers understand differently is how requests are smuggled;
tolerant with responses as far as RFC 9112 allows.
"""
