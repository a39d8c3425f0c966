"""Watch a server from outside, by its metrics: any that exports Triton's names."""
