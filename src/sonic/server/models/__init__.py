"""Which models there are: found in folders and functions, loaded, inspected, and followed as they change."""
