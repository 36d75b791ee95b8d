"""What both clients share: deadlines, retries, and checks of the response."""

import abc
import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tenacity

from mptrec_tf.data.input_names import COLUMNS_WITH_ID, REQUEST_ID, SPEC_COLUMNS
from mptrec_tf.errors import InputError
from mptrec_tf.serving.client.gateway import CallerHeaders, Headers, Tls
from mptrec_tf.serving.client.rows import to_request_arrays

SIGNATURE = "columns"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0  # seconds
_T = TypeVar("_T")


class ServingError(RuntimeError):
    """A server that is missing or too late, or a response that does not fit the request.

    Args:
      message: One sentence.
      code: gRPC's name of the status, as "UNAVAILABLE".
    """

    def __init__(self, message: str, code: str):
        super().__init__(message)
        self.code = code


class UnavailableError(ServingError):
    """A request that may be sent again."""

    def __init__(self, message: str):
        super().__init__(message, "UNAVAILABLE")


class Prediction(dict[str, np.ndarray]):
    """Predictions [n] by task.

    Attributes:
      version: The version that predicted; None where the server does not report it (TF Serving's
        REST).
    """

    def __init__(self, predictions: Mapping[str, np.ndarray], version: int | None):
        super().__init__(predictions)
        self.version = version


@dataclasses.dataclass(frozen=True)
class Interface:
    """The signature `columns` of a model.

    Attributes:
      inputs: Their types by name, as "DT_FLOAT"; see `make_kind`.
      outputs: Their names.
      names: Input by column of the spec; empty where the model does not have it: TensorFlow takes
        all of the spec's names, or an earlier release wrote the model.
      optional: The inputs whose numbers may be missing.
      classes: Names of the numbers of a prediction, by output that has several.
      takes_ids: bool. Whether the model has the signature `columns_with_id`, too.
    """

    inputs: Mapping[str, str]
    outputs: frozenset[str]
    names: Mapping[str, str]
    optional: frozenset[str] = frozenset()
    classes: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    takes_ids: bool = False


class SignatureInput(NamedTuple):
    """An input in a server's metadata: its type, see `make_kind`, and its tensor in the graph."""

    kind: str
    tensor: str


class Signature(NamedTuple):
    """A signature in a server's metadata.

    Attributes:
      inputs: By name.
      outputs: The names of the dimensions of each, by its name.
      defaults: The inputs that have a default value.
    """

    inputs: Mapping[str, SignatureInput]
    outputs: Mapping[str, Sequence[str]]
    defaults: Sequence[str] = ()


class Client(abc.ABC):
    """Sends requests to one served model.

    Example:
      >>> with RestClient("http://localhost:8501", "mptrec", timeout=0.5) as client:
      ...     predictions = client.predict([{"user_id": "u1"}])  # doctest: +SKIP

    Args:
      model: The model's name.
      version: Optional. The version to request; otherwise the newest.
      label: Optional. The label of the version to request, as "stable".
      inputs: Optional. Input by raw column, `inputs` of the model's assets.extra/model_card.json:
        only needed for models of earlier releases whose column names differ only in special
        characters.
      timeout: Seconds that a prediction may take, retries included.
      headers: Optional. Headers that a gateway needs in each request, as
        {"authorization": "Bearer ..."}; or a function that returns them, which is called before
        each request, for tokens that expire. Over gRPC they are its metadata. No error shows them.
      tls: Optional. How to trust the server, and to be trusted by it.

    Raises:
      InputError: if both a version and a label are given, for a header that cannot be sent, or
        for a file of `tls` that cannot be used.
    """

    def __init__(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        inputs: Mapping[str, str] | None = None,
        timeout: float = 5.0,
        headers: Headers | None = None,
        tls: Tls | None = None,
    ):
        if version is not None and label is not None:
            raise InputError("give a version or a label, not both.")
        if not timeout > 0:
            raise InputError(f"timeout is {timeout}; give seconds greater than 0.")
        self._model, self._version, self._label = model, version, label
        self._names, self._timeout = inputs, timeout
        self._headers, self._tls = CallerHeaders(headers), tls
        self._known: Interface | None = None

    def predict(
        self, rows: Any, timeout: float | None = None, request_id: str | None = None
    ) -> Prediction:
        """Returns the prediction of every task for n raw rows.

        It is [n], or [n, m] of a task whose predictions have m numbers: a probability for each
        class, in the order of the model card.

        Args:
          rows: A list of dicts, a pandas DataFrame, or a dict of arrays, with the columns that the
            model needs, under the spec's names or the signature's. Other columns are ignored, and
            missing text (None, NaN) is an empty text, as an empty field in a file. Columns with
            several values in a row take lists, or texts as in files. A missing number (None, NaN,
            or text like "NA") is one where the model takes that.
          timeout: Seconds, instead of the client's.
          request_id: Optional. The column of the rows with an id of each row, or a single one for
            all. The model does not read it: the server logs it, and labels that come later are
            joined by it (mptrec-watch).

        Raises:
          InputError: for rows or a label that do not fit, or for ids where the model was exported
            by an earlier release, which takes none.
          ServingError: if the model or version is not served (its code is NOT_FOUND), or if no
            valid response comes in time.
        """
        end = time.monotonic() + (self._timeout if timeout is None else timeout)
        interface = self._known or self._update_interface(end)
        try:
            return self._predict(rows, interface, end, request_id)
        except InputError:
            # The version that is served now may have other columns.
            fresh = self._update_interface(end)
            if fresh == interface:
                raise
            return self._predict(rows, fresh, end, request_id)

    def class_names(self, task: str, timeout: float | None = None) -> tuple[str, ...]:
        """Returns the classes of a task, in the order of its predictions [n, m]; else nothing.

        Args:
          task: Name of the task.
          timeout: Seconds, instead of the client's.

        Raises:
          ServingError: as `predict` does.
        """
        end = time.monotonic() + (self._timeout if timeout is None else timeout)
        return (self._known or self._update_interface(end)).classes.get(task, ())

    def _predict(
        self, rows: Any, interface: Interface, end: float, request_id: str | None
    ) -> Prediction:
        inputs, names = interface.inputs, self._names or interface.names
        if request_id is not None:
            if not interface.takes_ids:
                raise InputError(
                    f"{self._where} takes no request_id; serve a version that this release of "
                    "mptrec-export wrote, and whose spec has no column of that name."
                )
            names = {**(names or {name: name for name in inputs}), request_id: REQUEST_ID}
            inputs = {**inputs, REQUEST_ID: "DT_STRING"}
        arrays, count = to_request_arrays(rows, inputs, names, interface.optional)
        prediction = self._retry(lambda left: self._send(arrays, left), end)
        self._check_origin(prediction, interface)
        for task, array in prediction.items():
            fits = array.shape[:1] == (count,) and array.ndim in (1, 2) and array.dtype.kind == "f"
            if not fits or not np.isfinite(array).all():
                raise ServingError(
                    f"{self._where} returned {array.dtype} of shape {array.shape} for {task!r}; "
                    f"expected {count} finite numbers.",
                    "INTERNAL",
                )
        return prediction

    def _check_origin(self, prediction: Prediction, interface: Interface) -> None:
        """Rejects predictions of another version than the one that was requested."""
        if not prediction:
            raise ServingError(f"{self._where} returned no task.", "INTERNAL")
        # Without a version the newest one responds, which may have other tasks by now.
        if self._version is None:
            return
        if prediction.version not in (None, self._version):
            raise ServingError(
                f"{self._where}: version {self._version} was requested, but version "
                f"{prediction.version} responded.",
                "INTERNAL",
            )
        if prediction.keys() != interface.outputs:
            raise ServingError(
                f"{self._where} returned {', '.join(sorted(prediction))}; version {self._version} "
                f"has the tasks {', '.join(sorted(interface.outputs))}.",
                "INTERNAL",
            )

    def _update_interface(self, end: float) -> Interface:
        self._known = self._retry(self._fetch_interface, end)
        return self._known

    def _retry(self, send: Callable[[float], _T], end: float) -> _T:
        """Retries a request that is unavailable, with growing pauses, until the deadline."""

        def send_once() -> _T:
            left = end - time.monotonic()
            if left <= 0:
                raise self._deadline_error()
            return send(left)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(UnavailableError),
            # Callers that failed together should not retry together.
            wait=tenacity.wait_random_exponential(_FIRST_PAUSE, _LONGEST_PAUSE),
            stop=tenacity.stop_before_delay(end - time.monotonic()),
            reraise=True,
        )
        return retrying(send_once)

    def _make_interface(self, signatures: Mapping[str, Signature]) -> Interface:
        """Returns the model's columns by its signatures."""
        if SIGNATURE not in signatures or not signatures[SIGNATURE].inputs:
            raise InputError(
                f"{self._where} has no signature {SIGNATURE!r}; it has "
                f"{', '.join(sorted(signatures))}. Serve what mptrec-export wrote."
            )
        inputs, outputs, defaults = signatures[SIGNATURE]
        names = {}
        if SPEC_COLUMNS in signatures:  # the same tensors under other names
            by_tensor = {known.tensor: name for name, known in inputs.items()}
            spec = signatures[SPEC_COLUMNS].inputs.items()
            names = {name: by_tensor[i.tensor] for name, i in spec if i.tensor in by_tensor}
        types = {name: known.kind for name, known in inputs.items()}
        classes = {output: _read_classes(dims) for output, dims in outputs.items()}
        classes = {output: of for output, of in classes.items() if of}
        takes_ids = COLUMNS_WITH_ID in signatures
        return Interface(types, frozenset(outputs), names, frozenset(defaults), classes, takes_ids)

    def _choose_signature(self, arrays: Mapping[str, np.ndarray]) -> str:
        """Returns the signature that takes these inputs."""
        has_ids = REQUEST_ID in arrays and self._known is not None and self._known.takes_ids
        return COLUMNS_WITH_ID if has_ids else SIGNATURE

    def _deadline_error(self) -> ServingError:
        return ServingError(f"{self._where} did not respond in time.", "DEADLINE_EXCEEDED")

    def _response_error(self, code: str, message: str) -> Exception:
        """Returns the error for a status of the server, or of a gateway in front of it."""
        message = self._headers.hide(message)
        if code == "UNAUTHENTICATED":
            return ServingError(
                f"{self._where} needs to know who calls ({message}); give the client `headers` "
                "with a valid token, or `tls` with a certificate.",
                code,
            )
        if code == "PERMISSION_DENIED":
            return ServingError(
                f"{self._where} does not permit this caller to use it ({message}); give the "
                "client `headers` with a token that is permitted.",
                code,
            )
        return self._status_error(code, message)

    def _tls_error(self, reason: str) -> ServingError:
        """Returns the error for a connection that TLS did not allow; a retry would not help."""
        return ServingError(
            f"{self._where}: no connection over TLS: {reason}; see the client's `tls`.",
            "UNAVAILABLE",
        )

    def _status_error(self, code: str, message: str) -> Exception:
        """Returns the error for a status of the server."""
        if code == "UNAVAILABLE":
            return UnavailableError(f"{self._where} is unavailable: {message}")
        if code == "DEADLINE_EXCEEDED":
            return self._deadline_error()
        if code == "NOT_FOUND":
            return ServingError(f"{self._where} is not served: {message}", code)
        if code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION"):
            return InputError(f"{self._where} rejected the request: {message}")
        return ServingError(f"{self._where} failed ({code}): {message}", code)

    @property
    @abc.abstractmethod
    def _where(self) -> str:
        """The server and the model, for messages."""

    @abc.abstractmethod
    def _send(self, arrays: Mapping[str, np.ndarray], timeout: float) -> Prediction:
        """Sends one request for predictions."""

    @abc.abstractmethod
    def _fetch_interface(self, timeout: float) -> Interface:
        """Sends one request for the model's signatures."""

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the connections."""

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read_classes(dimensions: Sequence[str]) -> tuple[str, ...]:
    """Returns the names in those of an output's dimensions, see `export.output_names`."""
    if len(dimensions) != 2 or not dimensions[1]:
        return ()
    try:
        return tuple(map(str, json.loads(dimensions[1])))
    except (ValueError, TypeError):  # another program's name
        return ()
