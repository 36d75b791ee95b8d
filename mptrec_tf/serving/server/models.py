"""Which versions are served: new ones are found by polling and swapped in while requests run.

A version is loaded and warmed before the one that it replaces is dropped, and a version is closed
when its last request has its answer. A version that cannot be loaded leaves the old one serving,
and is tried again some times, and whenever its files change. Where a base path holds no version
any more, what is loaded stays; where it holds none so far, one is waited for.
"""

import asyncio
import contextlib
import dataclasses
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import WARMUP, check_base_path, version_directories
from mptrec_tf.serving.server.measuring import Metrics
from mptrec_tf.serving.server.model_config import ModelConfig
from mptrec_tf.serving.server.request_error import invalid, not_found
from mptrec_tf.serving.server.servable import LoadError, LoadOptions, Servable

_log = logging.getLogger("mptrec-serve")

State = get_model_status_pb2.ModelVersionStatus.State
_REMEMBERED = 20  # versions that ended, for the model's status


@dataclasses.dataclass
class _Failure:
    """A version that could not be loaded.

    Attributes:
      look: How its files looked.
      tries: How often it was tried as they are.
      again: When to try again as they are.
    """

    look: Any
    tries: int
    again: float


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
        self.failed: dict[int, _Failure] = {}
        self.problem = ""  # why nothing was found to load, the last time
        self.said = ""  # the problem that the log has

    def available(self) -> list[int]:
        """Numbers of the versions that answer, ascending."""
        return sorted(n for n, v in self.versions.items() if v.state == State.AVAILABLE)


class Models:
    """All models that a server serves.

    Args:
      configs: What to serve.
      metrics: Where loading is measured.
      loading: How versions are loaded.
      reread: Returns what to serve now, for a configuration that changes; it may raise
        `InputError`.
    """

    def __init__(
        self,
        configs: Sequence[ModelConfig],
        metrics: Metrics,
        loading: LoadOptions = LoadOptions(),  # noqa: B008 (frozen)
        reread: Callable[[], Sequence[ModelConfig]] | None = None,
    ):
        self._models = {config.name: _Model(config) for config in configs}
        self._metrics = metrics
        self._loading = loading
        self._reread = reread
        self._thread = ThreadPoolExecutor(1, "load")
        self._closing: set[asyncio.Task] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._models

    async def poll(self, seconds: float, reread_seconds: float = 0.0) -> None:
        """Looks for changes every so often, until it is cancelled.

        Args:
          seconds: Between looks for versions; 0 for none but those after the configuration is read.
          reread_seconds: Between looks at the configuration; 0 for none.
        """
        reread = time.monotonic() + (reread_seconds or math.inf)
        while True:
            until_reread = max(0.0, reread - time.monotonic())
            await asyncio.sleep(min(seconds or math.inf, until_reread))
            try:
                if time.monotonic() >= reread:
                    await self.reconfigure()
                    reread = time.monotonic() + reread_seconds
                await self.refresh()
            # Nothing may end the polling.
            except Exception as error:
                _log.error("looking for versions failed: %s", error)

    async def reconfigure(self) -> None:
        """Reads anew what to serve; what cannot be read changes nothing."""
        try:
            self._configure(await self._in_thread(self._reread))
        except InputError as error:
            _log.error("%s What was served goes on.", error)

    async def refresh(self) -> None:
        """Brings what is served in line with what the base paths hold."""
        for name, model in list(self._models.items()):
            model.problem = ""
            try:
                await self._refresh_model(model)
            # A storage that is out of reach for a while; the other models have theirs.
            except Exception as error:
                model.problem = f"looking for its versions failed: {error}"
                _log.error("%s: %s", name, model.problem)
            else:
                if model.problem and model.problem != model.said:
                    kept = model.available()
                    _log.warning("%s: %s; %s", name, model.problem, _staying(kept))
            model.said = model.problem

    def _configure(self, configs: Sequence[ModelConfig]) -> None:
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
        found = await self._in_thread(version_directories, model.config.base_path)
        chosen = model.config.chosen(list(found))
        if not chosen:
            model.problem = await self._in_thread(_explain_none, model.config, list(found))
        for number in chosen:
            held = model.versions.get(number)
            if held is None or held.state != State.AVAILABLE:
                await self._load(model, number, found[number])
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

    async def _load(self, model: _Model, number: int, path: str) -> None:
        name = model.config.name
        look = await self._in_thread(_look, path)
        failure = model.failed.get(number)
        if failure is None or failure.look != look:
            failure = _Failure(look, 0, 0.0)
        if time.monotonic() < failure.again:
            return
        version = model.versions[number] = Version(name, number)
        start = time.monotonic()
        try:
            version.servable, warm = await self._in_thread(_load_warm, path, self._loading)
        except LoadError as error:
            version.state, version.error = State.END, str(error)
            failure.tries += 1
            left = self._loading.retries - failure.tries + 1
            failure.again = time.monotonic() + (self._loading.retry_seconds if left else math.inf)
            model.failed[number] = failure
            self._metrics.load_latency.labels(name, "failed").observe(time.monotonic() - start)
            kept = _staying(model.available())
            again = f"it is tried again {left} times" if left else "it is tried again"
            _log.error("%s %d: %s; %s; %s when its files change", name, number, error, kept, again)
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

    def serving(self) -> list[str]:
        """Names of the models that have a loaded version."""
        return [name for name, model in self._models.items() if model.available()]

    def not_serving(self) -> Mapping[str, str]:
        """Models without a version that answers, and why."""
        return {
            name: "; ".join(v.error for v in model.versions.values() if v.error) or model.problem
            for name, model in self._models.items()
            if not model.available()
        }

    def find(self, spec: model_pb2.ModelSpec) -> Version:
        """Returns the version that answers a request.

        Raises:
          RequestError: if there is none, in TF Serving's words.
        """
        if not spec.name:
            raise invalid("Missing ModelSpec")
        model = self._models.get(spec.name)
        number = self._number(model, spec)
        if model is None or number is None:
            wanted = f"Latest({spec.name}" if number is None else f"Specific({spec.name}, {number}"
            raise not_found(f"Servable not found for request: {wanted})")
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
          RequestError: if there is none.
        """
        if not spec.name:
            raise invalid("Missing ModelSpec")
        model = self._models.get(spec.name)
        known = model.versions if model else {}
        if model and spec.WhichOneof("version_choice"):
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


def _staying(available: list[int]) -> str:
    return f"{available} stay" if available else "nothing is served"


def _explain_none(config: ModelConfig, found: list[int]) -> str:
    """Why a base path holds nothing to serve."""
    if found:
        return f"{config.base_path} holds versions {found}, and {list(config.specific)} are wanted"
    try:
        check_base_path(config.base_path)
    except InputError as error:
        return str(error).rstrip(".")
    return f"there is no version in {config.base_path}"


def _look(path: str) -> Any:
    """What changes when somebody mends a version."""
    looks = []
    for folder in ("", "variables", "assets", os.path.dirname(WARMUP)):
        there = os.path.join(path, folder)
        try:
            for name in ("", *sorted(tf.io.gfile.listdir(there))):
                stat = tf.io.gfile.stat(os.path.join(there, name))
                looks.append((folder, name, stat.mtime_nsec, stat.length))
        except tf.errors.OpError:
            looks.append(folder)
    return looks


def _load_warm(path: str, options: LoadOptions) -> tuple[Servable, int]:
    servable = Servable(path, options)
    try:
        return servable, servable.warm_up() if options.warm_up else 0
    except LoadError:
        servable.close()
        raise
