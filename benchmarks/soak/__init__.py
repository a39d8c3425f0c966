"""Load, hazards and overload on a real server, and what has become of every request."""
