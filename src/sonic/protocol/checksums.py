"""Digests of a model's files in its configuration, where Triton's checksum agent has them.

::

    model_repository_agents {
      agents {
        name: "checksum"
        parameters { key: "MD5:1/model.onnx" value: "0cc175b9c0f1b6a831c399e269772661" }
      }
    }

Specification: Triton's repository agents, and its checksum agent, which knows MD5 alone. Paths are relative to the
model's folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf import text_format

from sonic.errors import ConfigError, shown
from sonic.protocol.modelconfig import parse
from sonic.protocol.proto.model_config_pb2 import ModelRepositoryAgents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sonic.protocol.proto.model_config_pb2 import ModelConfig

AGENT = "checksum"
"""Name of the agent among a configuration's ``model_repository_agents``."""

ALGORITHMS = {"MD5": 32, "SHA256": 64}
"""What a digest can be made with, and how many hexadecimal digits it then has. Triton refuses all but MD5."""

DEFAULT_ALGORITHM = "MD5"

_FIELD = "model_repository_agents"
_TOKEN = re.compile(r"""\#[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | [\w.+-]+ | \S""", re.VERBOSE)


@dataclass(frozen=True, slots=True)
class Checksum:
    """Digest of one file.

    Parameters
    ----------
    algorithm : str
        One of :data:`ALGORITHMS`.
    path : str
        Relative to the model's folder, with ``/``: ``1/model.onnx``.
    digest : str
        Hexadecimal, in lower case.
    """

    algorithm: str
    path: str
    digest: str

    @property
    def key(self) -> str:
        """Its name among the agent's parameters."""
        return f"{self.algorithm}:{self.path}"

    @property
    def version(self) -> str:
        """Version that the file belongs to; empty if it is one of the model as a whole."""
        first, slash, _ = self.path.partition("/")
        return first if slash and first.isascii() and first.isdecimal() else ""

    def concerns(self, version: str) -> bool:
        """Whether the file is one of that version, or of all; an empty version is any."""
        return not version or self.version in ("", version)


def read_checksums(config: ModelConfig, *, strict: bool = True) -> tuple[Checksum, ...]:
    """Read the digests that a configuration holds, by path.

    Parameters
    ----------
    config : ModelConfig
    strict : bool
        Whether what makes no sense is an error; otherwise it is left out.

    Raises
    ------
    ConfigError
        For another agent, which may have to do something to the files; for an algorithm that is not known, a path
        outside of the model's folder, or what is no digest.
    """
    found = []
    for agent in config.model_repository_agents.agents:
        if agent.name != AGENT:
            if strict:
                raise ConfigError(f"repository agent {agent.name!r} is not known, which the model needs; {AGENT!r} is")
            continue
        for key, value in agent.parameters.items():
            try:
                found.append(_checksum(key, value))
            except ConfigError:
                if strict:
                    raise
    return tuple(sorted(found, key=lambda checksum: (checksum.path, checksum.algorithm)))


def write_checksums(text: str, checksums: Iterable[Checksum], where: str = "config.pbtxt") -> str:
    """Put digests into the text of a config.pbtxt, in place of those that it has; the rest stays as it is written.

    Raises
    ------
    ConfigError
        If the text cannot be read.
    """
    config = parse(text, where)
    agents = ModelRepositoryAgents()
    agents.agents.extend(agent for agent in config.model_repository_agents.agents if agent.name != AGENT)
    parameters = {checksum.key: checksum.digest for checksum in checksums}
    if parameters:
        agents.agents.add(name=AGENT, parameters=parameters)
    block = ""
    if agents.agents:
        lines = text_format.MessageToString(agents).splitlines()
        block = "\n".join([f"{_FIELD} {{", *(f"  {line}" for line in lines), "}"])
    span = _span(text)
    if span is None:
        between = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{between}{block}\n" if block else text
    rest = text[span[1] :]
    return text[: span[0]] + block + (rest if block else rest.removeprefix("\n"))


def differences(
    ours: Callable[[str, str], str | None], theirs: Iterable[Checksum]
) -> tuple[list[tuple[Checksum, str]], int]:
    """Compare digests.

    Parameters
    ----------
    ours : callable
        The digest by algorithm and path; None if there is none.
    theirs : iterable of Checksum

    Returns
    -------
    list of (Checksum, str)
        Theirs and our digest, where they differ.
    int
        How many could be compared.
    """
    differ, compared = [], 0
    for checksum in theirs:
        digest = ours(checksum.algorithm, checksum.path)
        if digest is not None:
            compared += 1
            if digest != checksum.digest:
                differ.append((checksum, digest))
    return differ, compared


def _checksum(key: str, value: str) -> Checksum:
    algorithm, colon, path = key.partition(":")
    algorithm, digest = algorithm.upper(), value.lower()
    if not colon or algorithm not in ALGORITHMS:
        known = " or ".join(f"{name}:PATH" for name in ALGORITHMS)
        raise ConfigError(f"checksum {shown(key)}: expected {known}")
    parts = path.replace("\\", "/").split("/")
    if not parts[0] or not parts[-1] or ".." in parts or "\0" in path:
        raise ConfigError(f"checksum {shown(key)} is of no file in the model's folder")
    if not re.fullmatch(rf"[0-9a-f]{{{ALGORITHMS[algorithm]}}}", digest):
        raise ConfigError(
            f"checksum {shown(key)}: expected {ALGORITHMS[algorithm]} hexadecimal digits, given {shown(value)}"
        )
    return Checksum(algorithm, "/".join(part for part in parts if part not in ("", ".")), digest)


def _span(text: str) -> tuple[int, int] | None:
    """Where the field stands in a text that can be read; None if it does not."""
    depth, start = 0, -1
    for token in _TOKEN.finditer(text):
        word = token.group()
        if start < 0 and depth == 0 and word == _FIELD:
            start = token.start()
        depth += (word in "{<[") - (word in "}>]") if len(word) == 1 else 0
        if start >= 0 and depth == 0 and word in ("}", ">", "]"):
            trailing = re.match(r"[ \t]*[,;]", text[token.end() :])
            return start, token.end() + (trailing.end() if trailing else 0)
    return None
