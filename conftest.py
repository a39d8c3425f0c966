"""The code blocks of README.md and docs/ are tests.

In one document, blocks run from top to bottom in one empty folder and one namespace. A ``python`` block is executed,
or, with a title, written to the file of that name; a ``sh`` block is run by bash. Blocks in any other language
(``console``, ``text``, ``toml`` ...) are only shown. What needs a package that may be absent stands between comments
for sybil, ``skip: start if(...)`` and ``skip: end``. `events.root` in the folder is a small generated sample in the
PFNano format.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sybil import Region, Sybil
from sybil.parsers.markdown import SkipParser

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sybil import Document, Example


SAMPLE = Path(__file__).parent / "demo" / "generated.root"
_BLOCK = re.compile(
    r'^(?P<indent> *)```(?P<language>python|sh)(?: +title="(?P<title>[^"]+)")? *\n(?P<code>.*?)^(?P=indent)``` *$',
    re.MULTILINE | re.DOTALL,
)


def pytest_collection_finish() -> None:
    """Let collections of garbage pass over what is there for good: every server that a test closes makes one."""
    gc.collect()
    gc.freeze()


def _blocks(document: Document) -> Iterable[Region]:
    for match in _BLOCK.finditer(document.text):
        yield Region(match.start(), match.end(), match.groupdict(), _run)


def _run(example: Example) -> None:
    language, title = example.parsed["language"], example.parsed["title"]
    code = textwrap.dedent(example.parsed["code"])
    if title:
        Path(title).write_text(code)
    elif language == "python":
        # Padded with empty lines, so that a traceback shows the line of the document.
        exec(compile("\n" * example.line + code, example.path, "exec"), example.namespace)
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command = ["bash", "-euo", "pipefail", "-c", code]
        done = subprocess.run(
            command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"


def _enter(namespace: dict[str, Any]) -> None:
    namespace["__home"] = Path.cwd()
    namespace["__folder"] = folder = Path(tempfile.mkdtemp(prefix="sonic-docs-"))
    os.chdir(folder)
    shutil.copy(SAMPLE, folder / "events.root")


def _leave(namespace: dict[str, Any]) -> None:
    os.chdir(namespace["__home"])
    shutil.rmtree(namespace["__folder"])


pytest_collect_file = Sybil(
    parsers=[_blocks, SkipParser()], patterns=["README.md", "docs/*.md", "docs/**/*.md"], setup=_enter, teardown=_leave
).pytest()
