"""The rules: YAML in, `proxy.policy.snapshot.Snapshot` out, or every problem at once."""
