"""The gRPC side: Predict, GetModelMetadata and GetModelStatus of TF Serving's two services."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from mptrec_tf.errors import InputError
from mptrec_tf.serving.server import listening, tensors
from mptrec_tf.serving.server.predicting import Predictor, internal
from mptrec_tf.serving.server.request_error import RequestError, invalid

_SIGNATURES = "signature_def"


class GrpcService:
    """The gRPC server.

    Args:
      predictor: Responds to requests.
      max_request_bytes: Larger messages are rejected.
      grace: Seconds that requests in flight have at the end.
      credentials: For TLS; None for none.
      channel_arguments: gRPC's settings by name, as "grpc.max_connection_age_ms".
    """

    def __init__(
        self,
        predictor: Predictor,
        max_request_bytes: int,
        grace: float,
        credentials: grpc.ServerCredentials | None = None,
        channel_arguments: Mapping[str, int | str] = MappingProxyType({}),
    ):
        self._grace = grace
        self._predictor = predictor
        self._credentials = credentials
        settings = {
            "grpc.max_receive_message_length": max_request_bytes,
            "grpc.max_send_message_length": -1,
            # A second server on the same port should fail, not take half of the requests.
            "grpc.so_reuseport": 0,
        }
        self._server = grpc.aio.server(options=list((settings | dict(channel_arguments)).items()))
        methods = {
            "PredictionService": {
                "Predict": (predict_pb2.PredictRequest, self._predict),
                "GetModelMetadata": (
                    get_model_metadata_pb2.GetModelMetadataRequest,
                    self._get_model_metadata,
                ),
            },
            "ModelService": {
                "GetModelStatus": (
                    get_model_status_pb2.GetModelStatusRequest,
                    self._get_model_status,
                )
            },
        }
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    f"tensorflow.serving.{service}",
                    {name: _make_handler(name, *method) for name, method in named.items()},
                )
                for service, named in methods.items()
            ]
        )

    def listen(self, host: str, port: int) -> int:
        """Opens a port; returns its number, which is chosen where 0 is given.

        Callers can connect from now on; their requests wait for `start`.

        Raises:
          InputError: if the address is taken or not this machine's.
        """
        # gRPC does not report why it cannot listen.
        for probe in listening.listen(host, port, "gRPC", "--port"):
            probe.close()
        return self._add(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "--port")

    def listen_at(self, path: str) -> None:
        """Opens a UNIX socket, too.

        Raises:
          InputError: if a server listens there, or it cannot be created.
        """
        # gRPC would take it away from a running server.
        listening.check_socket_is_free(path, "gRPC", "--grpc_socket_path")
        self._add(f"unix:{path}", "--grpc_socket_path")

    def _add(self, where: str, flag: str) -> int:
        try:
            if self._credentials is None:
                return self._server.add_insecure_port(where)
            return self._server.add_secure_port(where, self._credentials)
        except RuntimeError as error:
            raise InputError(f"cannot listen on {where} for gRPC; give another {flag}.") from error

    async def start(self) -> None:
        """Begins to accept requests."""
        await self._server.start()

    async def stop(self) -> None:
        """Accepts no more requests and waits for those in flight, or until the grace is over."""
        await self._server.stop(self._grace)

    async def _predict(
        self, request: predict_pb2.PredictRequest, context: grpc.aio.ServicerContext
    ) -> predict_pb2.PredictResponse:
        with self._predictor.measure(request.model_spec.name, "predict", "GRPC"):
            with self._predictor.version(request.model_spec) as version:
                prediction = await self._predictor.predict(
                    version,
                    request.model_spec.signature_name,
                    lambda signature: tensors.from_protos(signature, request.inputs),
                    request.output_filter,
                    context.time_remaining(),
                )
            response = predict_pb2.PredictResponse(model_spec=prediction.spec)
            for name, array in prediction.outputs.items():
                response.outputs[name].MergeFrom(tensors.to_proto(array))
            return response

    async def _get_model_metadata(
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.aio.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURES:
                raise invalid(f"Metadata field {field} is not supported")
        spec, signatures = self._predictor.get_metadata(request.model_spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=spec)
        response.metadata[_SIGNATURES].Pack(signatures)
        return response

    async def _get_model_status(
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.aio.ServicerContext,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        return self._predictor.models.get_status(request.model_spec)


def _make_handler(
    name: str,
    kind: type[Message],
    method: Callable[[Any, grpc.aio.ServicerContext], Awaitable[Message]],
) -> grpc.RpcMethodHandler:
    """Returns a handler that decodes here: gRPC would report a damaged message as INTERNAL."""

    async def respond(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        try:
            try:
                request = kind.FromString(body)
            except (DecodeError, RecursionError) as error:
                raise invalid(f"The request is not a {kind.__name__}: {error}") from error
            response = await method(request, context)
            return response.SerializeToString()
        except RequestError as error:
            rejection = error
        # The boundary: a fault of this program becomes a response, and the server goes on.
        except Exception as error:
            rejection = internal(error)
        await context.abort(rejection.code, rejection.message)
        raise AssertionError  # abort raises

    return grpc.unary_unary_rpc_method_handler(respond)
