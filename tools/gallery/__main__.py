"""Draw the pictures of the documentation again, all or those of the rooms and names that are given."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import gallery
from sonic.errors import SonicError


def main() -> int:
    """Draw; exit status 1 if one that was asked for could not be drawn, or one is too large."""
    there = gallery.rooms()
    parser = argparse.ArgumentParser(prog="make gallery", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"a picture, or a room: {', '.join(there)}")
    parser.add_argument("--to", type=Path, default=gallery.IMAGES, metavar="FOLDER", help="default: docs/images")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    wanted, seen, bad = set(options.names), set(), False
    for room in there:
        try:
            found = gallery.pictures(room)
        except (ImportError, SonicError) as error:
            print(f"{room}: left out: {error}")
            bad = bad or room in wanted
            continue
        for name, draw in found.items():
            if wanted and not {room, name} & wanted:
                continue
            seen |= {room, name}
            started = time.perf_counter()
            try:
                size = gallery.save(draw(), options.to / f"{name}.png")
            except (ImportError, SonicError) as error:
                print(f"{name}: left out: {error}")
                bad = bad or bool({room, name} & wanted)
                continue
            large = size > gallery.MAX_BYTES
            bad = bad or large
            remark = f"  too large: at most {gallery.MAX_BYTES:,} bytes" if large else ""
            print(f"{name}.png  {size:,} bytes, {time.perf_counter() - started:.1f} s{remark}", flush=True)
    if unknown := wanted - seen - set(there):
        parser.error(f"no room and no picture {', '.join(sorted(unknown))}: rooms are {', '.join(there)}")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
