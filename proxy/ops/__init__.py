"""Seeing and steering: metrics, logs, reload, and the admin address. Knows nothing of lanes."""
