"""How a request passes through the server."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import asyncio
import shutil

import aiohttp
import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from mptrec_tf.serving.server.model_config import ModelConfig
from mptrec_tf.serving.server.models import Models
from mptrec_tf.serving.server.process import Server, ServerOptions


@pytest.fixture
def lookups(monkeypatch):
    """Names of the models that were looked up."""
    names = []
    find = Models.find

    def find_and_count(self, spec):
        names.append(spec.name)
        return find(self, spec)

    monkeypatch.setattr(Models, "find", find_and_count)
    return names


async def over_grpc(server):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([3.0]))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = await stub.Predict(request)
    assert (response.model_spec.name, response.model_spec.version.value) == ("m", 1)
    assert response.model_spec.signature_name == "serving_default"
    return tf.make_ndarray(response.outputs["a"]).tolist()


async def over_rest(server):
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/m:predict"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={"inputs": {"x": [3.0]}}) as response,
    ):
        assert response.headers["Model-Version"] == "1"
        return (await response.json())["outputs"]


@pytest.mark.parametrize("request_over", [over_grpc, over_rest])
def test_a_request_looks_its_model_up_once(request_over, lookups, small, tmp_path):
    shutil.copytree(small, tmp_path / "m" / "1")

    async def predict():
        options = ServerOptions(port=0, rest_port=0)
        server = Server([ModelConfig("m", str(tmp_path / "m"))], options)
        try:
            await server.start()
            return await asyncio.wait_for(request_over(server), 60)
        finally:
            await server.stop()

    assert asyncio.run(predict()) == [6.0]
    assert lookups == ["m"]
