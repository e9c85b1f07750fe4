"""Plan B: a reverse-proxy sidecar that keeps a legacy shop alive under far too much load."""
