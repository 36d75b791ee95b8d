"""Clients for a model that TF Serving (or mptrec-serve) serves; they send raw columns.

    from mptrec_tf.serving.client import RestClient

    with RestClient("http://localhost:8501", "mptrec", label="stable") as client:
        predictions = client.predict([{"user_id": "u1", "price": 3.5}])  # task -> [n]

`RestClient` imports no TensorFlow; `GrpcClient("localhost:8500", "mptrec")` does, on first use.
Both take `headers` and `tls` for a gateway in front of the server.
"""

from mptrec_tf.serving.client.base import Prediction, ServingError
from mptrec_tf.serving.client.gateway import Tls
from mptrec_tf.serving.client.rest import RestClient

__all__ = ["GrpcClient", "Prediction", "RestClient", "ServingError", "Tls"]


def __getattr__(name: str):
    if name == "GrpcClient":
        from mptrec_tf.serving.client.grpc import GrpcClient

        return GrpcClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
