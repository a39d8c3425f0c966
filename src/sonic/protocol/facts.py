"""What is known of a model, of a folder's or a server's alike, and what is wrong with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from sonic.protocol.checksums import read_checksums
from sonic.protocol.protojson import to_document

if TYPE_CHECKING:
    from sonic.protocol.digests import FileDigest
    from sonic.protocol.proto.model_config_pb2 import ModelConfig
    from sonic.specs import ModelSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say about a model.

    Parameters
    ----------
    model : str
    text : str
        A line.
    level : {"error", "note"}
        An error keeps it from being served as it is meant; a note does not.
    """

    model: str
    text: str
    level: Literal["error", "note"] = "error"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model.

    Parameters
    ----------
    name : str
    where : str
        Its folder, or the URL of its server.
    config : ModelConfig
        Completed, as far as that could be done.
    spec : ModelSpec or None
        As clients see it; None if that is not known.
    versions : tuple of str
        Those that are served, the lowest first.
    files : tuple of FileDigest
        Of all its versions; a server does not say what they are.
    size_bytes : int
        Of these files together.
    state : str
        On a server; empty for a folder.
    """

    name: str
    where: str
    config: ModelConfig
    spec: ModelSpec | None = None
    versions: tuple[str, ...] = ()
    files: tuple[FileDigest, ...] = ()
    size_bytes: int = 0
    state: str = ""

    @property
    def kind(self) -> str:
        """Backend, or platform where there is no backend."""
        return self.config.backend or self.config.platform

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        spec = self.spec
        return {
            "name": self.name,
            "where": self.where,
            "state": self.state,
            "versions": list(self.versions),
            "backend": self.config.backend,
            "platform": self.config.platform,
            "max_batch_size": self.config.max_batch_size,
            "inputs": [] if spec is None else [_tensor(tensor) for tensor in spec.inputs],
            "outputs": [] if spec is None else [_tensor(tensor) for tensor in spec.outputs],
            "files": [asdict(row) | {"state": row.state} for row in self.files],
            "size_bytes": self.size_bytes,
            "checksums": {each.key: each.digest for each in read_checksums(self.config, strict=False)},
            "config": to_document(self.config),
        }


def _tensor(tensor: TensorSpec) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "datatype": tensor.dtype.name,
        "shape": list(tensor.shape),
        "optional": tensor.optional,
    }
