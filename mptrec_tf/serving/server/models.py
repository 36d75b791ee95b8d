"""Which versions are served: new ones are found by polling and swapped in while requests run.

A version is loaded and warmed before the one that it replaces is dropped, and a version is closed
when its last request has its answer. A version that cannot be loaded leaves the old one serving,
and is tried again when its files change, or a minute later. Where a base path holds no version any
more, what is loaded stays.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import WARMUP, versions
from mptrec_tf.serving.server.measuring import Metrics
from mptrec_tf.serving.server.model_config import ModelConfig
from mptrec_tf.serving.server.refusals import invalid, not_found
from mptrec_tf.serving.server.servable import LoadError, Servable

_log = logging.getLogger("mptrec-serve")

State = get_model_status_pb2.ModelVersionStatus.State
_TRY_AGAIN = 60.0  # seconds after which a broken version is tried again as it is
_REMEMBERED = 20  # versions that ended, for the model's status


class Version:
    """A version of a model, from the time it was found.

    Attributes:
      model: str. The model's name.
      number: int.
      state: As TF Serving reports it.
      error: str. Why it could not be loaded; empty if it could.
      servable: What answers; None unless it is loaded.
    """

    def __init__(self, model: str, number: int):
        self.model = model
        self.number = number
        self.state = State.LOADING
        self.error = ""
        self.servable: Servable | None = None
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Keeps the version loaded as long as the block runs."""
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def unused(self) -> None:
        """Waits until nobody uses it."""
        await self._unused.wait()


class _Model:
    """The versions of one model."""

    def __init__(self, config: ModelConfig):
        self.config = config
        self.versions: dict[int, Version] = {}
        # Of versions that failed: how their files looked, and when to try again.
        self.failed: dict[int, tuple[Any, float]] = {}
        self.problem = ""  # why its versions could not be looked for, the last time

    def available(self) -> list[int]:
        """Numbers of the versions that answer, ascending."""
        return sorted(n for n, v in self.versions.items() if v.state == State.AVAILABLE)


class Models:
    """All models that a server serves.

    Args:
      configs: What to serve.
      metrics: Where loading is measured.
      reread: Returns what to serve now, for a configuration that changes; it may raise
        `InputError`.
    """

    def __init__(
        self,
        configs: Sequence[ModelConfig],
        metrics: Metrics,
        reread: Callable[[], Sequence[ModelConfig]] | None = None,
    ):
        self._models = {config.name: _Model(config) for config in configs}
        self._metrics = metrics
        self._reread = reread
        self._thread = ThreadPoolExecutor(1, "load")
        self._closing: set[asyncio.Task] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._models

    async def poll(self, seconds: float) -> None:
        """Looks for changes every so often, until it is cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.refresh()
            # Nothing may end the polling.
            except Exception as error:
                _log.error("looking for versions failed: %s", error)

    async def refresh(self) -> None:
        """Brings what is served in line with what the base paths hold."""
        if self._reread:
            try:
                self._reconfigure(await self._in_thread(self._reread))
            except InputError as error:
                _log.error("%s What was served goes on.", error)
        for name, model in list(self._models.items()):
            model.problem = ""
            try:
                await self._refresh_model(model)
            # A storage that is out of reach for a while; the other models have theirs.
            except Exception as error:
                model.problem = f"looking for its versions failed: {error}"
                _log.error("%s: %s", name, model.problem)

    def _reconfigure(self, configs: Sequence[ModelConfig]) -> None:
        wanted = {config.name: config for config in configs}
        for name in self._models.keys() - wanted.keys():
            for number in self._models[name].available():
                self._retire(self._models[name].versions[number])
            del self._models[name]
        for name, config in wanted.items():
            if name in self._models:
                self._models[name].config = config
            else:
                self._models[name] = _Model(config)

    async def _refresh_model(self, model: _Model) -> None:
        found = await self._in_thread(versions, model.config.base_path)
        chosen = model.config.chosen(found)
        for number in chosen:
            held = model.versions.get(number)
            if held is None or held.state != State.AVAILABLE:
                await self._load(model, number)
        available = model.available()
        # Nothing is dropped before something that was chosen answers.
        if set(chosen) & set(available):
            for number in set(available) - set(chosen):
                self._retire(model.versions[number])
            available = model.available()
        if available:
            self._metrics.version.labels(model.config.name).set(available[-1])
        ended = [n for n, v in sorted(model.versions.items()) if v.state == State.END]
        for number in ended[:-_REMEMBERED]:
            del model.versions[number]

    async def _load(self, model: _Model, number: int) -> None:
        name, path = model.config.name, os.path.join(model.config.base_path, str(number))
        look = await self._in_thread(_look, path)
        before, again = model.failed.get(number, (None, 0.0))
        if look == before and time.monotonic() < again:
            return
        version = model.versions[number] = Version(name, number)
        start = time.monotonic()
        try:
            version.servable, warm = await self._in_thread(_load_warm, path)
        except LoadError as error:
            version.state, version.error = State.END, str(error)
            model.failed[number] = (look, time.monotonic() + _TRY_AGAIN)
            self._metrics.load_latency.labels(name, "failed").observe(time.monotonic() - start)
            kept = model.available()
            _log.error("%s %d: %s; %s", name, number, error, f"{kept} stay" if kept else "none is")
            return
        model.failed.pop(number, None)
        version.state = State.AVAILABLE
        seconds = time.monotonic() - start
        self._metrics.load_latency.labels(name, "loaded").observe(seconds)
        _log.info("%s %d is served: %.1f s, %d warm-up requests", name, number, seconds, warm)

    def _retire(self, version: Version) -> None:
        version.state = State.UNLOADING
        task = asyncio.get_running_loop().create_task(self._close(version))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, version: Version) -> None:
        await version.unused()
        servable, version.servable = version.servable, None
        await self._in_thread(servable.close)
        version.state = State.END
        _log.info("%s %d is dropped", version.model, version.number)

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def not_serving(self) -> Mapping[str, str]:
        """Models without a version that answers, and why."""
        return {
            name: "; ".join(v.error for v in model.versions.values() if v.error)
            or model.problem
            or f"there is no version in {model.config.base_path}"
            for name, model in self._models.items()
            if not model.available()
        }

    def find(self, spec: model_pb2.ModelSpec) -> Version:
        """Returns the version that answers a request.

        Raises:
          Refusal: if there is none, in TF Serving's words.
        """
        if not spec.name:
            raise invalid("Missing ModelSpec")
        model = self._models.get(spec.name)
        number = self._number(model, spec)
        if model is None or number is None:
            wanted = f"Specific({spec.name}, {number})" if number else f"Latest({spec.name})"
            raise not_found(f"Servable not found for request: {wanted}")
        version = model.versions.get(number)
        if version is None or version.state != State.AVAILABLE:
            raise not_found(f"Servable not found for request: Specific({spec.name}, {number})")
        return version

    def _number(self, model: _Model | None, spec: model_pb2.ModelSpec) -> int | None:
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return spec.version.value
        if model is None:
            return None
        if choice == "version_label":
            if spec.version_label not in model.config.labels:
                raise invalid(f"Unrecognized servable version label: {spec.version_label}")
            return model.config.labels[spec.version_label]
        return max(model.available(), default=None)

    def status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the states of a model's versions, or of the one that is asked for.

        Raises:
          Refusal: if there is none.
        """
        if not spec.name:
            raise invalid("Missing ModelSpec")
        model = self._models.get(spec.name)
        known = model.versions if model else {}
        if spec.WhichOneof("version_choice"):
            number = self._number(model, spec)
            if number not in known:
                raise not_found(f"Could not find version {number} of model {spec.name}")
            known = {number: known[number]}
        if not known:
            raise not_found(f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, version in sorted(known.items(), reverse=True):
            status = response.model_version_status.add(version=number, state=version.state)
            if version.error:
                status.status.error_code = grpc.StatusCode.UNKNOWN.value[0]
                status.status.error_message = version.error
        return response

    async def close(self) -> None:
        """Drops all versions; nothing may run any more."""
        for model in self._models.values():
            for number in model.available():
                self._retire(model.versions[number])
        if self._closing:
            await asyncio.wait(self._closing)
        self._thread.shutdown(wait=True)


def _look(path: str) -> Any:
    """What changes when somebody mends a version."""
    looks = []
    for part in ("", "saved_model.pb", "variables", WARMUP):
        try:
            stat = tf.io.gfile.stat(os.path.join(path, part))
            looks.append((stat.mtime_nsec, stat.length))
        except tf.errors.OpError:
            looks.append(None)
    return looks


def _load_warm(path: str) -> tuple[Servable, int]:
    servable = Servable(path)
    try:
        return servable, servable.warm_up()
    except LoadError:
        servable.close()
        raise
