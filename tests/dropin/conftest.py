"""Servers of the models that Triton's published examples call, and the ways that lead to them."""

from __future__ import annotations

import functools
import ssl
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent.ssl
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
import trustme
from onnx import TensorProto, helper

import sonic
from sonic.server.access.guard import Guard
from sonic.server.access.tls import Tls
from sonic.server.access.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sonic.server.app import Server

TOKEN = "s3cret"
SECURITY = ("open", "tls", "mtls", "token")
WAYS = ("grpc", "grpc-unix", "grpc-tls", "grpc-mtls", "grpc-token", "http", "http-tls", "http-mtls", "http-token")


# ---- models ---------------------------------------------------------------------------------------------------------


def _write(folder: Path, name: str, config: str, model: bytes | None = None) -> None:
    (folder / name / "1").mkdir(parents=True)
    (folder / name / "config.pbtxt").write_text(f'name: "{name}"\n{config}')
    if model is not None:
        (folder / name / "1" / "model.onnx").write_bytes(model)


def _sum_and_difference(kind: str) -> tuple[str, bytes]:
    """Two inputs of 16 numbers, or of 16 texts of numbers; their sum, and their difference."""
    element, number = getattr(TensorProto, kind), TensorProto.INT32
    nodes, sides = [], []
    for name in ("INPUT0", "INPUT1"):
        if kind == "STRING":
            nodes.append(helper.make_node("Cast", [name], [f"{name}_number"], to=number))
        sides.append(f"{name}_number" if kind == "STRING" else name)
    for name, op in (("OUTPUT0", "Add"), ("OUTPUT1", "Sub")):
        nodes.append(helper.make_node(op, sides, [f"{name}_number" if kind == "STRING" else name]))
        if kind == "STRING":
            nodes.append(helper.make_node("Cast", [f"{name}_number"], [name], to=element))
    tensors = {
        way: [helper.make_tensor_value_info(f"{way}{i}", element, ["batch", 16]) for i in (0, 1)]
        for way in ("INPUT", "OUTPUT")
    }
    graph = helper.make_graph(nodes, "simple", tensors["INPUT"], tensors["OUTPUT"])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    config = 'platform: "onnxruntime_onnx"\nmax_batch_size: 8\n' + "".join(
        f'{way.lower()} {{ name: "{way}{i}" data_type: TYPE_{kind} dims: [ 16 ] }}\n' for way in tensors for i in (0, 1)
    )
    return config, model.SerializeToString()


def _identity(kind: str, more: str = "") -> str:
    return f"""backend: "identity" max_batch_size: 8
        input {{ name: "INPUT0" data_type: TYPE_{kind} dims: [ -1 ] }}
        output {{ name: "OUTPUT0" data_type: TYPE_{kind} dims: [ -1 ] {more} }}"""


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repository with the models of the examples."""
    folder = tmp_path_factory.mktemp("examples")
    _write(folder, "simple", *_sum_and_difference("INT32"))
    _write(folder, "simple_string", *_sum_and_difference("STRING"))
    _write(folder, "simple_swapped", *_sum_and_difference("INT32"))
    _write(folder, "simple_identity", _identity("STRING"))
    config, model = _sum_and_difference("INT32")
    _write(folder, "batching", f"{config}dynamic_batching {{}}", model)
    _write(folder, "identity_fp16", _identity("FP16"))
    _write(folder, "identity_bf16", _identity("BF16"))
    _write(folder, "classes", _identity("FP32", 'label_filename: "labels.txt"'))
    (folder / "classes" / "labels.txt").write_text("quark\ngluon\nbottom\n")
    return folder


# ---- servers --------------------------------------------------------------------------------------------------------


class Certificates:
    """Those of a server and of its client, as files, and the authority of both."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        for who, made in (
            ("server", authority.issue_cert("localhost", "127.0.0.1")),
            ("client", authority.issue_cert("ana@site.org")),
        ):
            made.private_key_pem.write_to_path(folder / f"{who}-key.pem")
            made.cert_chain_pems[0].write_to_path(folder / f"{who}-cert.pem")
        self.server = Tls(folder / "server-cert.pem", folder / "server-key.pem")
        self.mutual = Tls(folder / "server-cert.pem", folder / "server-key.pem", self.ca)
        self.client_key, self.client_cert = folder / "client-key.pem", folder / "client-cert.pem"

    def context(self, make: Callable[..., Any], *, mutual: bool) -> Any:
        made = make(cafile=str(self.ca))
        if mutual:
            made.load_cert_chain(self.client_cert, self.client_key)
        return made


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a client shows of itself, and what a server lets in."""
    file = tmp_path_factory.mktemp("tokens") / "token"
    file.write_text(TOKEN)
    return file


@pytest.fixture(scope="session")
def server(
    examples: Path, certificates: Certificates, token_file: Path
) -> Iterator[Callable[..., tuple[Server, Path]]]:
    """Start, once, the server of one kind of security; with it comes the folder of its sockets."""
    with tempfile.TemporaryDirectory(prefix="sonic-") as short, ExitStack() as stack:  # a socket's path is short

        @functools.cache
        def start(security: str, models: Path = examples) -> tuple[Server, Path]:
            sockets = Path(tempfile.mkdtemp(dir=short))
            running = sonic.serve(
                models,
                cores=1,
                explicit=True,
                models=["*"],
                grpc_socket=sockets / "g.sock",
                http_socket=sockets / "h.sock",
                tls={"tls": certificates.server, "mtls": certificates.mutual}.get(security),
                guard=Guard(Tokens(token_file)) if security == "token" else None,
            )
            stack.callback(running.close, drain_s=0.0)
            return running, sockets

        yield start


# ---- ways to them ---------------------------------------------------------------------------------------------------


class _Bearer(tritonclient.grpc.InferenceServerClientPlugin):
    def __call__(self, request: Any) -> None:
        request.headers["authorization"] = f"Bearer {TOKEN}"


@dataclass
class Way:
    """How a client reaches a server: the module it is of, and what it is made with."""

    name: str
    url: str
    options: dict[str, Any] = field(default_factory=dict)
    aio_options: dict[str, Any] = field(default_factory=dict)
    """Of the asyncio client."""

    @property
    def kind(self) -> str:
        return self.name.partition("-")[0]

    @property
    def triton(self) -> Any:
        return {"grpc": tritonclient.grpc, "http": tritonclient.http}[self.kind]

    def connect(self, **options: Any) -> Any:
        return self._made(self.triton.InferenceServerClient(self.url, **self.options, **options))

    def connect_aio(self) -> Any:
        return self._made(self.triton.aio.InferenceServerClient(self.url, **self.aio_options))

    def _made(self, client: Any) -> Any:
        if self.name.endswith("token"):
            client.register_plugin(_Bearer())
        return client


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, server: Any, certificates: Certificates) -> Way:
    """Each way in turn."""
    return make_way(request.param, server, certificates)


@pytest.fixture
def client(way: Way) -> Iterator[Any]:
    """The blocking client of each way in turn."""
    made = way.connect()
    yield made
    made.close()


@pytest.fixture(params=[name for name in WAYS if name.startswith("grpc")])
def grpc_way(request: pytest.FixtureRequest, server: Any, certificates: Certificates) -> Way:
    """Each way of gRPC in turn."""
    return make_way(request.param, server, certificates)


def make_way(name: str, server: Any, certificates: Certificates) -> Way:
    kind, _, how = name.partition("-")
    running, sockets = server(how if how in SECURITY else "open")
    if how == "unix":
        return Way(name, f"unix:{sockets}/g.sock")
    way = Way(name, (running.grpc_url if kind == "grpc" else running.http_url).partition("//")[2])
    if how not in ("tls", "mtls"):
        return way
    mutual = how == "mtls"
    if kind == "http":
        context = functools.partial(certificates.context, mutual=mutual)
        way.options = {"ssl": True, "ssl_context_factory": lambda: context(gevent.ssl.create_default_context)}
        way.aio_options = {"ssl": True, "ssl_context": context(ssl.create_default_context)}
        return way
    way.options = {"ssl": True, "root_certificates": str(certificates.ca)}
    if mutual:
        way.options["private_key"] = str(certificates.client_key)
        way.options["certificate_chain"] = str(certificates.client_cert)
    way.aio_options = way.options
    return way
