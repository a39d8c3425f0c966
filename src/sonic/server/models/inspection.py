"""What can be said of a folder of models before it is served: what is in it, and what is wrong with it.

A model is loaded and warmed up as a server would, on this machine, and let go.
"""

from __future__ import annotations

import copy
import logging
import re
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING

from sonic.errors import ConfigError, InferenceError, SonicError
from sonic.protocol.checksums import read_checksums
from sonic.protocol.digests import survey
from sonic.protocol.facts import Finding, ModelFacts
from sonic.protocol.modelconfig import check_filename, normalise, parse, to_spec
from sonic.protocol.modelfolder import CONFIG_NAME, files_of, number, read_text, version_folders
from sonic.protocol.proto.model_config_pb2 import ModelConfig, ModelInstanceGroup
from sonic.server.backends.base import backend_for
from sonic.server.execution.classification import read_labels
from sonic.server.models.folders import model_folders, select
from sonic.server.models.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sonic.protocol.digests import FileDigest
    from sonic.server.models.model import ServedModel


def models_in(folder: Path) -> list[Path]:
    """Return the folders of the models in a repository; of a model's own folder, that one.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if (folder / CONFIG_NAME).is_file() or (folder.is_dir() and version_folders(folder)):
        return [folder]
    found = model_folders(folder)
    if not found:
        raise ConfigError(f"no model in {folder}: expected NAME/1/model.onnx or the like below it")
    return found


def outline(folder: Path) -> ModelFacts:
    """Say what a model's folder says of itself, without loading it.

    Raises
    ------
    ConfigError, DataError
        If it cannot be read.
    """
    folder = folder.resolve()
    config = normalise(parse(read_text(folder), str(folder / CONFIG_NAME)), folder.name)
    selected = select(folder, config)
    if not (config.backend or config.platform):
        config.backend, _ = backend_for(config, next(iter(selected.values())))
    return _facts(folder, config, tuple(selected), ())


def listed(folder: Path) -> tuple[tuple[ModelFacts, str], ...]:
    """List the models of a repository: what each says of itself, and why that cannot be read; empty if it can.

    Raises
    ------
    ConfigError
        If there is none.
    """
    found = []
    for model in models_in(folder):
        try:
            found.append((outline(model), ""))
        except SonicError as error:
            found.append((_facts(model, ModelConfig(name=model.name), (), ()), str(error)))
    return tuple(found)


def inspect(folder: Path) -> tuple[ModelFacts, tuple[Finding, ...]]:
    """Say what a model is and what is wrong with it. It is loaded.

    Parameters
    ----------
    folder : Path
        The model's.

    Returns
    -------
    ModelFacts, tuple of Finding
        The configuration is completed if it could be loaded.
    """
    inspection = _Inspection(folder.resolve())
    return inspection.run(), tuple(inspection.findings)


class _Inspection:
    """One look at one model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.findings: list[Finding] = []
        self._files: tuple[FileDigest, ...] = ()

    def run(self) -> ModelFacts:
        config = self._config()
        if config is None:
            return _facts(self.folder, ModelConfig(name=self.folder.name), (), ())
        agents = copy.deepcopy(config.model_repository_agents)
        facts = self._examine(config)
        if agents.agents:
            facts.config.model_repository_agents.CopyFrom(agents)
        return facts

    def _examine(self, config: ModelConfig) -> ModelFacts:
        # What is found wrong is taken out, so that loading it tells what is wrong besides.
        self._files = self._checksums(config)
        versions = self._versions(config)
        self._labels(config)
        if versions and self._backend(config, next(iter(versions.values()))):
            loaded = self._load(config)
            if loaded is not None:
                self._count_labels(loaded)
                return _facts(self.folder, loaded.config, tuple(versions), self._files)
        return _facts(self.folder, normalise(config, self.folder.name), tuple(versions), self._files)

    def _error(self, text: str) -> None:
        self.findings.append(Finding(self.folder.name, text.removeprefix(f"model {self.folder.name!r} ")))

    def _note(self, text: str) -> None:
        self.findings.append(Finding(self.folder.name, text, "note"))

    def _config(self) -> ModelConfig | None:
        where = str(self.folder / CONFIG_NAME)
        try:
            text = read_text(self.folder)
            try:
                config = parse(text, where)
            except ConfigError as error:
                self._error(str(error))
                config = parse(text, where, strict=False)
        except ConfigError as error:
            if not self.findings:
                self._error(str(error))
            return None
        if config.name and config.name != self.folder.name:
            self._error(f"{CONFIG_NAME} names it {config.name!r}, unlike its folder")
        config.name = self.folder.name
        return config

    def _checksums(self, config: ModelConfig) -> tuple[FileDigest, ...]:
        rows: tuple[FileDigest, ...] = ()
        try:
            read_checksums(config)
            rows = survey(self.folder)
            problems = [row.problem for row in rows if row.problem]
        except SonicError as error:
            problems = [str(error)]
        for problem in problems:
            self._error(problem)
        if problems:
            config.ClearField("model_repository_agents")
        without = sorted({row.path for row in rows if row.state == "missing"})
        if without and len(without) == len(rows):
            self._note("it has no checksums: sonic models checksum --write adds them")
        elif without:
            self._note(f"no checksum of {', '.join(without)}")
        return rows

    def _versions(self, config: ModelConfig) -> dict[str, Path]:
        try:
            with _warnings() as said:
                versions = select(self.folder, config)
        except ConfigError as error:
            self._error(str(error))
            return {}
        for line in said:
            self._error(line)
        there = version_folders(self.folder)
        left = [str(version) for version in sorted(there) if str(version) not in versions]
        if left:
            self._note(f"version {', '.join(left)} is there and not served, by its version_policy")
        for path in sorted(self.folder.iterdir()):
            if path.is_dir() and number(path.name) >= 0 and number(path.name) not in there:
                self._note(f"folder {path.name!r} is no version: versions are 1, 2, 3 ...")
        return dict(sorted(versions.items(), key=lambda item: number(item[0])))

    def _labels(self, config: ModelConfig) -> None:
        for output in config.output:
            try:
                read_labels(ModelConfig(output=[output]), self.folder)
            except ConfigError as error:
                self._error(str(error))
                output.label_filename = ""

    def _count_labels(self, loaded: ServedModel) -> None:
        for tensor in loaded.spec.outputs:
            labels = loaded.labels.get(tensor.name)
            shape = tensor.shape[1:] if loaded.spec.max_batch_size else tensor.shape
            if labels is not None and -1 not in shape and len(labels) != prod(shape):
                self._note(f"output {tensor.name!r} has {prod(shape)} values and {len(labels)} labels")

    def _backend(self, config: ModelConfig, version: Path) -> bool:
        try:
            backend_for(config, version)
            check_filename(config)
        except ConfigError as error:
            self._error(str(error))
            return False
        return True

    def _load(self, config: ModelConfig) -> ServedModel | None:
        loaded, failures, said = _try(self.folder, config)
        on_cpu = copy.deepcopy(config)
        for group in on_cpu.instance_group:
            if group.kind == ModelInstanceGroup.KIND_GPU:
                group.kind = ModelInstanceGroup.KIND_CPU
                del group.gpus[:]
        if failures and on_cpu != config:
            again = _try(self.folder, on_cpu)
            if not again[1]:
                self._note(f"not on this machine: {failures[0]}")
                loaded, failures, said = again
        for line in failures:
            self._error(line)
        for line in said:
            self._note(line)
        return loaded


def _try(folder: Path, config: ModelConfig) -> tuple[ServedModel | None, list[str], list[str]]:
    """Load a model; say why its versions failed, and what the server warns of."""
    name = folder.name
    failures: list[str] = []
    with _warnings() as said:
        repository = Repository([folder.parent])
        try:
            repository.load(name, config)
        except (ConfigError, InferenceError) as error:
            rows = [row for row in repository.index() if row.name == name and row.state != "READY"]
            # Versions that could be loaded are not there either, for the others' sake.
            failures = list(dict.fromkeys(row.reason for row in rows if row.reason != "unloaded")) or [str(error)]
        loaded = next((model for model in reversed(repository.models()) if model.spec.name == name), None)
        repository.close()
    label = re.escape(repr(name))
    own = re.compile(rf"(model {label}( version \d+ cannot be loaded)?|configuration of model {label}):? ")
    return loaded, [_without(own, line) for line in failures], [_without(own, line) for line in dict.fromkeys(said)]


def _without(beginning: re.Pattern[str], line: str) -> str:
    while match := beginning.match(line):
        line = line[match.end() :]
    return line


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what the server logs as warnings and errors, in place of printing it."""
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger = logging.getLogger("sonic.server")
    handler, before = Collect(logging.WARNING), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.propagate = before
        logger.removeHandler(handler)


def _facts(folder: Path, config: ModelConfig, versions: tuple[str, ...], files: tuple[FileDigest, ...]) -> ModelFacts:
    versions = tuple(sorted(versions, key=number))
    try:
        spec = to_spec(config, versions[-1] if versions else "") if config.input or config.output else None
    except ConfigError:  # a datatype left out: the file would say it
        spec = None
    size_bytes = sum(path.stat().st_size for path in files_of(folder).values())
    return ModelFacts(folder.name, str(folder), config, spec, versions, files, size_bytes)
