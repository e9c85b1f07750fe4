"""What holds for all tests."""

from hypothesis import settings

# A slow moment of a busy machine is not a slow example.
settings.register_profile("planb", deadline=None)
settings.load_profile("planb")
