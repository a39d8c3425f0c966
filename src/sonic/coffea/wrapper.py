"""The base class that takes the place of coffea's ``triton_wrapper``."""

from __future__ import annotations

import operator
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

import awkward as ak
import numpy as np

from sonic.client.conversion.texts import content_of
from sonic.client.model import Client
from sonic.client.settings import ClientSettings, load
from sonic.client.url import parse_server
from sonic.coffea.address import address_of
from sonic.coffea.requests import call, call_aside, send
from sonic.errors import ConfigError, InvalidRequest, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import ModuleType

    from sonic.client.fallback import Fallback
    from sonic.client.model import Model
    from sonic.coffea.requests import Pending
    from sonic.specs import ModelSpec

    Arrays = dict[str, np.ndarray[Any, Any]]
    Prepared = tuple[Sequence[Any], Mapping[str, Any]]


class TritonWrapper:
    """A served model, called with awkward arrays that a subclass prepares; in place of coffea's ``triton_wrapper``.

    Requests of a call are in flight together and hold no more rows than there are. Copies in one process share their
    connections and what they know of the model; it can be pickled, and connects where it is first called.

    Parameters
    ----------
    model_url : str
        ``triton+grpc://host:port/model/version``, or ``triton+http``; or a URL as for :class:`sonic.Model`.
    client_args : mapping, optional
        Of Triton's client; see :func:`sonic.coffea.address.address_of`. As in coffea, ``triton+grpc`` is encrypted
        unless ``ssl`` is false.
    batch_size : int
        Most rows of a request; otherwise as many as the model takes, in requests of 1 MiB at most.
    servers : sequence of str
        URLs of more servers that have the model.
    fallback : path-like, Fallback or False, optional
        As for :class:`sonic.Client`: a folder of models, served in the process from the first time that no server can
        take a request.
    timeout_s : float, optional
        Time that a request may take in all, in seconds.
    settings : ClientSettings or path-like, optional
        As for :class:`sonic.Client`.

    Raises
    ------
    ConfigError
        If a URL or an argument makes no sense. Nothing is sent yet.
    """

    def __init__(
        self,
        model_url: str,
        client_args: Mapping[str, Any] | None = None,
        batch_size: int = -1,
        *,
        servers: Sequence[str] = (),
        fallback: Fallback | str | os.PathLike[str] | Literal[False] | None = None,
        timeout_s: float | None = None,
        settings: ClientSettings | str | os.PathLike[str] | None = None,
    ) -> None:
        place = address_of(model_url, client_args)
        self.protocol, self.address, self.model, self.version = place.scheme, place.where, place.model, place.version
        try:
            self._batch_size = operator.index(batch_size)
        except TypeError:
            raise ConfigError(f"batch_size is a whole number, given {batch_size!r}") from None
        urls = (place.server, *(parse_server(url).server for url in servers))
        spare = os.fspath(fallback) if isinstance(fallback, os.PathLike) else fallback
        read = settings if isinstance(settings, ClientSettings) else load(settings)
        self._client_arguments = (urls, spare, timeout_s, read, None)

    # ---- what a subclass says -----------------------------------------------------------------------------------

    def prepare_awkward(self, *args: Any, **kwargs: Any) -> Prepared:
        """Make the arguments of :meth:`numpy_call` from those of a call.

        Returns
        -------
        args, kwargs
            For ``numpy_call(output_list, input_dict)``, with awkward arrays that are rectangular.
        """
        raise NotImplementedError(f"{type(self).__name__} is called with awkward arrays and has no prepare_awkward")

    def postprocess_awkward(self, return_array: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Make the result of a call from the outputs, awkward arrays by name, and from the arguments of the call."""
        return return_array

    def validate_numpy_input(self, output_list: Sequence[str], input_dict: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Check a call before it is made; inputs are checked with each request as it is.

        Raises
        ------
        InvalidRequest
            If the model has no such output; lists those it has.
        """
        _ = self._served(output_list).spec

    # ---- calls --------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model.

        With awkward arrays among the arguments: as prepared, and processed afterwards; with dask-awkward arrays the
        same, for each partition once it is computed. Otherwise as :meth:`numpy_call`.

        Raises
        ------
        InferenceError
            As the call ended: InvalidRequest if the arrays do not fit the model.
        """
        library = self.get_awkward_lib(*args, **kwargs)
        if library is not None and library is not ak:
            from sonic.coffea.partitions import call_partitions  # here, since dask-awkward is not always installed

            return call_partitions(self, args, kwargs)
        if library is None:
            return self.call_numpy(*args, **kwargs)
        prepared = self.prepare_awkward(*args, **kwargs)
        outputs = self.call_numpy(*prepared[0], **prepared[1])
        return self.postprocess_awkward(_awkward(outputs), *args, **kwargs)

    def submit(self, *args: Any, **kwargs: Any) -> Pending[Any]:
        """Call the model and go on: the result is asked for later, by ``result()``.

        Returns when the requests are on their way. A `numpy_call` of a subclass's own runs in a thread meanwhile.
        Arguments as for a call, other than dask-awkward arrays.
        """
        eager = self.get_awkward_lib(*args, **kwargs) is ak
        given, named = map(_numpy, self.prepare_awkward(*args, **kwargs) if eager else (args, kwargs))
        self.validate_numpy_input(*given, **named)
        own = type(self).numpy_call is not TritonWrapper.numpy_call
        sent: Pending[Any] = call_aside(self.numpy_call, given, named) if own else self._send(*given, **named)
        if not eager:
            return sent
        return sent.then(lambda outputs: self.postprocess_awkward(_awkward(outputs), *args, **kwargs))

    def numpy_call(self, output_list: Sequence[str], input_dict: Mapping[str, Any]) -> Arrays:
        """Call the model with numpy arrays.

        Parameters
        ----------
        output_list : sequence of str
            The outputs that are wanted.
        input_dict : mapping of str to array_like
            By input name.

        Returns
        -------
        dict of str to ndarray
        """
        outputs = call(self._served(output_list), _arrays(input_dict), self._batch_size)
        return {name: outputs[name] for name in output_list}

    def call_numpy(self, *args: Any, **kwargs: Any) -> Any:
        """Check and call, with awkward arrays that are rectangular as well."""
        args, kwargs = _numpy(args), _numpy(kwargs)
        self.validate_numpy_input(*args, **kwargs)
        return self.numpy_call(*args, **kwargs)

    def _send(self, output_list: Sequence[str], input_dict: Mapping[str, Any]) -> Pending[Arrays]:
        sent = send(self._served(output_list), _arrays(input_dict), self._batch_size)
        return sent.then(lambda outputs: {name: outputs[name] for name in output_list})

    # ---- what is known of the model -----------------------------------------------------------------------------

    def _served(self, outputs: Sequence[str] = ()) -> Model:
        client = Client.shared(*self._client_arguments)
        return client.shared_model(self.model, self.version, tuple(dict.fromkeys(outputs)))

    @property
    def spec(self) -> ModelSpec:
        """Inputs, outputs and largest batch; fetched once a process."""
        return self._served().spec

    @property
    def batch_size(self) -> int:
        """Most rows of a request: as given, otherwise as the model has it; 0 if neither says."""
        return self._batch_size if self._batch_size > 0 else self.spec.max_batch_size

    @property
    def model_metadata(self) -> dict[str, Any]:
        """Name, versions, platform, inputs and outputs, as the protocol has them."""
        spec = self.spec
        tensors = {
            side: [{"name": t.name, "datatype": t.dtype.name, "shape": list(t.shape)} for t in given]
            for side, given in (("inputs", spec.inputs), ("outputs", spec.outputs))
        }
        return {"name": spec.name, "versions": [spec.version], "platform": spec.platform, **tensors}

    @property
    def model_inputs(self) -> dict[str, dict[str, Any]]:
        """Shape and datatype of each input."""
        return {t.name: {"shape": t.shape, "datatype": t.dtype.name} for t in self.spec.inputs}

    @property
    def model_outputs(self) -> dict[str, dict[str, Any]]:
        """Shape and datatype of each output."""
        return {t.name: {"shape": t.shape, "datatype": t.dtype.name} for t in self.spec.outputs}

    @staticmethod
    def get_awkward_lib(*args: Any, **kwargs: Any) -> ModuleType | None:
        """Return the library of the arrays among the arguments: awkward, dask_awkward, or None if there are none.

        Raises
        ------
        InvalidRequest
            If there are arrays of both.
        """
        given = (*args, *kwargs.values())
        lazy = sys.modules.get("dask_awkward")  # nobody has such an array who has not imported it
        eager = any(isinstance(array, ak.Array) for array in given)
        if lazy is not None and any(isinstance(array, lazy.Array) for array in given):
            if eager:
                raise InvalidRequest("expected arrays of awkward or of dask-awkward, given both in one call")
            return lazy
        return ak if eager else None


def _arrays(input_dict: Mapping[str, Any]) -> Arrays:
    return {name: np.asanyarray(array) for name, array in _numpy(dict(input_dict)).items()}


def _numpy(given: Any, name: object = None) -> Any:
    """Awkward arrays as numpy arrays, in containers too."""
    if isinstance(given, dict):
        return {key: _numpy(value, key) for key, value in given.items()}
    if isinstance(given, (list, tuple)):
        return _like(given, (_numpy(value, name) for value in given))
    if not isinstance(given, ak.Array):
        return given
    try:
        return ak.to_numpy(given)
    except (ValueError, TypeError) as error:
        which = f"input {name!r}" if name is not None else "an array"
        raise InvalidRequest(f"{which} is {given.type}, which is not rectangular: {one_line(error)}") from None


def _awkward(given: Any) -> Any:
    """Numpy arrays as awkward arrays, in containers too."""
    if isinstance(given, dict):
        return {key: _awkward(value) for key, value in given.items()}
    if isinstance(given, (list, tuple)):
        return _like(given, map(_awkward, given))
    return ak.Array(content_of(given)) if isinstance(given, np.ndarray) else given


def _like(given: Any, values: Iterable[Any]) -> Any:
    """Make a container as the given one; a named tuple takes its values one by one."""
    return given._make(values) if hasattr(given, "_fields") else type(given)(values)
