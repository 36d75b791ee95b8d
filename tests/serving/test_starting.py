"""How a server starts: its ports, and models that do not exist yet."""

import asyncio
import contextlib
import os
import shutil
import socket

import aiohttp
import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import WARMUP
from mptrec_tf.serving.server import models as models_module
from mptrec_tf.serving.server.measuring import Metrics
from mptrec_tf.serving.server.model_config import ModelConfig, read_model_config
from mptrec_tf.serving.server.models import Models
from mptrec_tf.serving.server.process import Server, ServerOptions
from mptrec_tf.serving.server.servable import LoadError, LoadOptions, Servable

LONG = 60.0  # seconds: a busy machine is slow


@pytest.fixture
def options():
    def make(**changes):
        return ServerOptions(**{"port": 0, "rest_port": 0, "poll_seconds": 0.05} | changes)

    return make


@contextlib.asynccontextmanager
async def started(server):
    """Starts the server; yields a session for its REST port."""
    try:
        await server.start()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.rest_port}") as session:
            yield session
    finally:
        await server.stop()


async def get(session, path):
    async with session.get(path) as response:
        return response.status, await response.json()


async def doubled(session, name):
    """Returns the status of a request for 2 * 3, the response, and its version."""
    body = {"instances": [3.0]}
    async with session.post(f"/v1/models/{name}:predict", json=body) as response:
        return response.status, await response.json(), response.headers.get("Model-Version")


async def until(ready):
    end = asyncio.get_running_loop().time() + LONG
    while not await ready():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.05)


def appear(small, folder, name):
    """Makes a version appear at once, as an export does."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(small, folder / f"{name}.staging")
    os.rename(folder / f"{name}.staging", folder / name)


def test_missing_models_are_waited_for_while_others_are_served(small, tmp_path, options, caplog):
    appear(small, tmp_path / "here", "0000001")
    broken = tmp_path / "broken" / "7"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_text("no model")
    names = ("here", "later", "broken")

    async def run():
        configs = [ModelConfig(name, str(tmp_path / name)) for name in names]
        server = Server(configs, options())
        async with started(server) as session:
            assert server.list_served() == ["here"]
            assert await doubled(session, "here") == (200, {"predictions": [6.0]}, "1")
            for name in ("later", "broken", "unknown"):
                error = {"error": f"Servable not found for request: Latest({name})"}
                assert await doubled(session, name) == (404, error, None)
            error = {"error": "Could not find any versions of model later"}
            assert await get(session, "/v1/models/later") == (404, error)
            assert await get(session, "/v1/models/unknown/labels/stable") == (
                404,
                {"error": "Could not find any versions of model unknown"},
            )
            status, response = await get(session, "/v1/models/broken")
            [version] = response["model_version_status"]
            assert (status, version["version"], version["state"]) == (200, "7", "END")
            assert str(broken) in version["status"]["error_message"]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                stub = model_service_pb2_grpc.ModelServiceStub(channel)
                request = get_model_status_pb2.GetModelStatusRequest()
                request.model_spec.name = "later"
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await stub.GetModelStatus(request)
                assert raised.value.code() == grpc.StatusCode.NOT_FOUND
            async with session.get("/monitoring/prometheus/metrics") as response:
                text = await response.text()
            count = ":tensorflow:serving:request_count"
            assert f'{count}{{model_name="later",status="NOT_FOUND"}} 1.0' in text
            assert f'{count}{{model_name="",status="NOT_FOUND"}} 1.0' in text
            assert "INVALID_ARGUMENT" not in text

            appear(small, tmp_path / "later", "00000123")
            shutil.copytree(small, broken, dirs_exist_ok=True)

            async def all_served():
                return set(server.list_served()) == set(names)

            await until(all_served)
            assert await doubled(session, "later") == (200, {"predictions": [6.0]}, "123")
            assert await doubled(session, "broken") == (200, {"predictions": [6.0]}, "7")

    asyncio.run(run())
    logged = [record.getMessage() for record in caplog.records]
    assert (
        logged.count(f"later: there is no version in {tmp_path / 'later'}; nothing is served") == 1
    )
    assert "later is not served: it is checked every 0.05 s" in logged


def test_without_polling_a_server_ends_if_nothing_can_be_served(small, tmp_path, options):
    appear(small, tmp_path / "here", "1")
    here, later = (ModelConfig(name, str(tmp_path / name)) for name in ("here", "later"))

    async def ends():
        server = Server([later], options(poll_seconds=0))
        try:
            with pytest.raises(InputError, match=f"'later': there is no version in {tmp_path}"):
                await server.start()
        finally:
            await server.stop()

    async def serves():
        async with started(Server([here, later], options(poll_seconds=0))) as session:
            assert (await doubled(session, "here"))[0] == 200
            assert (await doubled(session, "later"))[0] == 404

    asyncio.run(ends())
    asyncio.run(serves())


def test_the_configuration_is_read_again(small, tmp_path, options):
    appear(small, tmp_path / "here", "1")
    here, later = (ModelConfig(name, str(tmp_path / name)) for name in ("here", "later"))
    wanted = [[later]]

    async def run():
        settings = options(poll_seconds=0, reread_seconds=0.05)
        server = Server([later], settings, lambda: wanted[0])
        async with started(server) as session:
            assert (await doubled(session, "here"))[0] == 404
            wanted[0] = [here]

            async def served():
                return server.list_served() == ["here"]

            await until(served)
            assert (await doubled(session, "here"))[0] == 200

    asyncio.run(run())


def test_a_broken_version_is_tried_again_some_times_and_when_it_changes(small, tmp_path):
    shutil.copytree(small, tmp_path / "1")
    index = tmp_path / "1" / "variables" / "variables.index"
    whole = index.read_bytes()
    index.write_bytes(b"broken")
    metrics = Metrics()

    def tries():
        labels = {"model_name": "m", "status": "failed"}
        return metrics.registry.get_sample_value("mptrec_serve_load_seconds_count", labels)

    async def run():
        options = LoadOptions(retries=2, retry_seconds=0)
        models = Models([ModelConfig("m", str(tmp_path))], metrics, options)
        for expected in (1, 2, 3, 3, 3):
            await models.refresh()
            assert tries() == expected
        index.write_bytes(b"broken otherwise")
        for expected in (4, 5, 6, 6):
            await models.refresh()
            assert tries() == expected
        index.write_bytes(whole)
        await models.refresh()
        assert models.list_served() == ["m"]
        await models.close()

    asyncio.run(run())


def test_the_reason_why_a_base_path_serves_nothing_is_reported(small, tmp_path):
    appear(small, tmp_path / "m", "0003")
    configs = [
        ModelConfig("version", str(tmp_path / "m" / "0003")),
        ModelConfig("others", str(tmp_path / "m"), specific=(1, 2)),
    ]

    async def run():
        models = Models(configs, Metrics())
        await models.refresh()
        assert models.explain_unserved() == {
            "version": f"{tmp_path}/m/0003 is a version of a model, not its base path; give the "
            f"directory that holds it: {tmp_path}/m",
            "others": f"{tmp_path}/m holds versions [3], but [1, 2] are configured",
        }
        await models.close()

    asyncio.run(run())
    path = tmp_path / "models.config"
    path.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{tmp_path}/m/0003/" }} }}'
    )
    with pytest.raises(InputError, match=f"models.config, model 'm': .*holds it: {tmp_path}/m."):
        read_model_config(str(path))


@pytest.fixture
def unloadable(monkeypatch):
    def load(*_):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(models_module, "_load_warm", load)


@pytest.mark.parametrize(
    ("which", "what", "flag"), [("port", "gRPC", "port"), ("rest_port", "REST", "rest_api_port")]
)
def test_a_taken_port_is_named_before_a_model_is_loaded(
    small, tmp_path, options, unloadable, which, what, flag
):
    appear(small, tmp_path, "1")

    async def run():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server = Server([ModelConfig("m", str(tmp_path))], options(**{which: port}))
            try:
                with pytest.raises(InputError) as raised:
                    await server.start()
            finally:
                await server.stop()
        assert str(raised.value) == (
            f"cannot listen on 127.0.0.1:{port} for {what} (Address already in use); give another "
            f"--{flag}, or end the server that listens there."
        )
        # Neither port stays in use.
        for number in (server.port, server.rest_port):
            if number:
                with socket.create_server(("127.0.0.1", number)):
                    pass

    asyncio.run(run())


def test_a_host_that_is_not_this_machine_is_named(tmp_path, options):
    async def run(host):
        server = Server([ModelConfig("m", str(tmp_path))], options(host=host))
        try:
            await server.start()
        finally:
            await server.stop()

    for host in ("203.0.113.1", "no.such.name.invalid"):
        with pytest.raises(InputError, match=f"cannot listen on {host}:0 for REST .*--host or"):
            asyncio.run(run(host))


def test_callers_that_connect_while_models_are_loaded_are_served(
    small, tmp_path, options, monkeypatch
):
    appear(small, tmp_path, "1")
    load, may_load = models_module._load_warm, asyncio.Event()
    loop_of = []

    def slowly(*args):
        asyncio.run_coroutine_threadsafe(may_load.wait(), loop_of[0]).result()
        return load(*args)

    monkeypatch.setattr(models_module, "_load_warm", slowly)

    async def run():
        loop_of.append(asyncio.get_running_loop())
        config = [ModelConfig("m", str(tmp_path))]
        server, second = Server(config, options()), None
        starting = asyncio.create_task(server.start())
        try:
            await asyncio.sleep(0.2)
            async with (
                aiohttp.ClientSession(f"http://127.0.0.1:{server.rest_port}") as session,
                grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
            ):
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                request = predict_pb2.PredictRequest()
                request.model_spec.name = "m"
                request.inputs["x"].CopyFrom(tf.make_tensor_proto([3.0]))
                request_sent = asyncio.create_task(doubled(session, "m"))
                called = asyncio.create_task(_called(stub, request))
                second = Server(config, options(rest_port=server.rest_port))
                with pytest.raises(InputError, match="Address already in use"):
                    await second.start()
                await asyncio.sleep(0.2)
                assert not request_sent.done()
                assert not called.done()
                may_load.set()
                await starting
                assert await request_sent == (200, {"predictions": [6.0]}, "1")
                assert tf.make_ndarray((await called).outputs["a"]).tolist() == [6.0]
        finally:
            may_load.set()
            await starting
            await server.stop()
            if second:
                await second.stop()

    asyncio.run(run())


async def _called(stub, request):
    return await stub.Predict(request, timeout=LONG)


def test_a_unix_socket_is_used_once(small, tmp_path, options):
    appear(small, tmp_path / "m", "1")
    path = str(tmp_path / "socket")
    config = [ModelConfig("m", str(tmp_path / "m"))]

    async def run():
        async with started(Server(config, options(port=None, socket_path=path))):
            async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                request = predict_pb2.PredictRequest()
                request.model_spec.name = "m"
                request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0, 3.0]))
                response = await stub.Predict(request, timeout=LONG)
                assert tf.make_ndarray(response.outputs["a"]).tolist() == [2.0, 6.0]
            second = Server(config, options(port=None, socket_path=path))
            with pytest.raises(InputError, match=f"unix:{path} for gRPC .Address already in use"):
                await second.start()
            await second.stop()

    asyncio.run(run())


def test_metrics_and_other_origins_are_configured(small, tmp_path, options):
    appear(small, tmp_path, "1")
    config = [ModelConfig("m", str(tmp_path))]

    async def run(**changes):
        async with started(Server(config, options(port=None, **changes))) as session:
            statuses = []
            for path in ("/monitoring/prometheus/metrics", "/metrics"):
                async with session.get(path) as response:
                    statuses.append(response.status)
            async with session.options("/v1/models/m:predict") as response:
                return (
                    statuses,
                    response.status,
                    response.headers.get("Access-Control-Allow-Origin"),
                )

    assert asyncio.run(run()) == ([200, 400], 400, None)
    assert asyncio.run(run(metrics_path="/metrics", cors=True)) == ([400, 200], 200, "*")
    assert asyncio.run(run(metrics_path=None)) == ([400, 400], 400, None)


def test_versions_are_loaded_as_configured(small, tmp_path):
    shutil.copytree(small, tmp_path / "1")
    (tmp_path / "1" / WARMUP).parent.mkdir()
    (tmp_path / "1" / WARMUP).write_bytes(b"no records at all")

    async def serving(**options):
        models = Models([ModelConfig("m", str(tmp_path))], Metrics(), LoadOptions(**options))
        await models.refresh()
        served = models.list_served()
        await models.close()
        return served

    assert asyncio.run(serving()) == []
    assert asyncio.run(serving(warm_up=False)) == ["m"]
    with pytest.raises(LoadError, match="cannot load"):
        Servable(str(tmp_path / "1"), LoadOptions(tags=["serve", "gpu"]))
