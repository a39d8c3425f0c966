"""The version, apart from everything else, so that every room can say it."""

__version__ = "0.1.0.dev0"
