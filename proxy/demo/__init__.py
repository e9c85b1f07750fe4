"""A small legacy shop to put Plan B before: two services that know nothing of Plan B.

Only `run` starts the sidecar, as a process; nothing here imports another part of `proxy`.
"""
