"""``python -m sonic`` is the command ``sonic``."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still being loaded ends it in one line, too."""
    try:
        from sonic.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("sonic: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
