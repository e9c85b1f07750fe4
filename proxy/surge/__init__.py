"""`planb surge`: far too many visitors at once, to see what holds.

An open-loop load generator for HTTP/1.1 without TLS, and what shows a person what came of it. It
knows nothing of Plan B's other parts: to them it is one more client. Tests and benches use the
generator too.
"""
