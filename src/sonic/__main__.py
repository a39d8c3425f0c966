"""``python -m sonic`` is the command ``sonic``."""

from sonic.cli import main

if __name__ == "__main__":
    main()
