"""The gRPC client."""

import re
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from mptrec_tf.errors import InputError
from mptrec_tf.serving.client.base import (
    SIGNATURE,
    Client,
    Interface,
    Prediction,
    ServingError,
    Signature,
    SignatureInput,
)
from mptrec_tf.serving.client.values import make_kind

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # The client retries itself; without these settings a channel would wait a second first.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
# Patterns in gRPC's messages about a connection that TLS does not allow, and what they mean.
_UNTRUSTED = {
    r"CERTIFICATE_VERIFY_FAILED:? ?([^:;]*)": r"the server's certificate is not trusted: \1",
    "(Hostname Verification Check failed)": r"\1, the server's certificate is for another name",
    "WRONG_VERSION_NUMBER": "the server does not speak it",
}


class GrpcClient(Client):
    """Sends requests to a model over gRPC; threads may share it.

    Example:
      >>> rows = pd.read_csv("test.csv")  # doctest: +SKIP
      >>> with GrpcClient(
      ...     "gateway.example.com:443",
      ...     "mptrec",
      ...     headers=lambda: {"authorization": f"Bearer {current_token()}"},
      ...     tls=Tls(ca="ca.pem"),
      ... ) as client:
      ...     predictions = client.predict(rows)

    Args:
      address: The server, as "localhost:8500".
      model: The model's name.
      credentials: Optional. gRPC's own, instead of `tls`.
      **options: See `Client`. Without `tls` or credentials the connection is not encrypted.
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        **options: Any,
    ):
        super().__init__(model, **options)
        if "://" in address:
            raise InputError(f"{address!r} is a URL; give gRPC's address as localhost:8500.")
        self._address = address
        if credentials and self._tls:
            raise InputError("give `tls` or credentials, not both.")
        options = list(_OPTIONS)
        if self._tls:
            credentials = grpc.ssl_channel_credentials(*self._tls.read_pem())
            if self._tls.server_name:
                options.append(("grpc.ssl_target_name_override", self._tls.server_name))
        self._channel = (
            grpc.secure_channel(address, credentials, options=options)
            if credentials
            else grpc.insecure_channel(address, options=options)
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._spec = model_pb2.ModelSpec(name=model, signature_name=SIGNATURE)
        if self._version is not None:
            self._spec.version.value = self._version
        elif self._label is not None:
            self._spec.version_label = self._label

    @property
    def _where(self) -> str:
        return f"model {self._model!r} at {self._address}"

    def _send(self, arrays: Mapping[str, np.ndarray], timeout: float) -> Prediction:
        request = predict_pb2.PredictRequest(model_spec=self._spec)
        request.model_spec.signature_name = self._choose_signature(arrays)
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        response = self._call(self._stub.Predict, request, timeout)
        try:
            outputs = {task: tf.make_ndarray(proto) for task, proto in response.outputs.items()}
        except (TypeError, ValueError) as error:
            raise ServingError(
                f"{self._where} sent an unexpected response: {error}", "INTERNAL"
            ) from error
        return Prediction(outputs, response.model_spec.version.value or None)

    def _fetch_interface(self, timeout: float) -> Interface:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=["signature_def"]
        )
        response = self._call(self._stub.GetModelMetadata, request, timeout)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        if not response.metadata["signature_def"].Unpack(signatures):
            raise ServingError(f"{self._where} did not return its signatures.", "INTERNAL")
        return self._make_interface(
            {
                name: Signature(
                    {
                        key: SignatureInput(
                            make_kind(
                                types_pb2.DataType.Name(info.dtype),
                                [(dim.size, dim.name) for dim in info.tensor_shape.dim],
                            ),
                            info.name,
                        )
                        for key, info in signature.inputs.items()
                    },
                    {
                        key: [dim.name for dim in info.tensor_shape.dim]
                        for key, info in signature.outputs.items()
                    },
                    list(signature.defaults),
                )
                for name, signature in signatures.signature_def.items()
            }
        )

    def _call(self, method: Any, request: Any, timeout: float) -> Any:
        # gRPC takes lower-case names only.
        metadata = [(name.lower(), value) for name, value in self._headers.read().items()]
        try:
            return method(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            code, details = error.code().name, error.details() or ""
            for part, meaning in _UNTRUSTED.items() if code == "UNAVAILABLE" else ():
                match = re.search(part, details)
                if match:
                    raise self._tls_error(match.expand(meaning)) from error
            # A traceback could show headers that the server repeats.
            safe = self._headers.hide(details) == details
            raise self._response_error(code, details) from (error if safe else None)

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()
