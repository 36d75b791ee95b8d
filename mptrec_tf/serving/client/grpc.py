"""The gRPC client."""

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
from mptrec_tf.serving.client.asking import (
    SIGNATURE,
    Client,
    Interface,
    Prediction,
    ServingError,
    Signature,
    SignatureInput,
)

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Retries are the client's own; without these a channel would wait a second after a failure.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class GrpcClient(Client):
    """Asks a model over gRPC; threads may share it.

    Args:
      address: The server, as "localhost:8500".
      model: The model's name.
      credentials: Optional. For a server behind TLS.
      **options: See `Client`.
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
        self._channel = (
            grpc.secure_channel(address, credentials, options=_OPTIONS)
            if credentials
            else grpc.insecure_channel(address, options=_OPTIONS)
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

    def _ask(self, arrays: Mapping[str, np.ndarray], timeout: float) -> Prediction:
        request = predict_pb2.PredictRequest(model_spec=self._spec)
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        response = self._call(self._stub.Predict, request, timeout)
        try:
            answers = {task: tf.make_ndarray(proto) for task, proto in response.outputs.items()}
        except (TypeError, ValueError) as error:
            raise ServingError(
                f"{self._where} answered what was not asked for: {error}", "INTERNAL"
            ) from error
        return Prediction(answers, response.model_spec.version.value or None)

    def _ask_interface(self, timeout: float) -> Interface:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=["signature_def"]
        )
        response = self._call(self._stub.GetModelMetadata, request, timeout)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        if not response.metadata["signature_def"].Unpack(signatures):
            raise ServingError(f"{self._where} did not say its signatures.", "INTERNAL")
        return self._interface(
            {
                name: Signature(
                    {
                        key: SignatureInput(types_pb2.DataType.Name(info.dtype), info.name)
                        for key, info in found.inputs.items()
                    },
                    found.outputs.keys(),
                )
                for name, found in signatures.signature_def.items()
            }
        )

    def _call(self, method: Any, request: Any, timeout: float) -> Any:
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise self._refused(error.code().name, error.details()) from error

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()
