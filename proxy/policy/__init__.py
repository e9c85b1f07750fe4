"""What is decided: pure Python on the standard library; no asyncio, no I/O, no clock.

Everything takes `now`, seconds of a monotonic clock, as an argument.
"""
