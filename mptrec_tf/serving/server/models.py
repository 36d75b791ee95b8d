"""Which versions are served: new ones are found by polling and swapped in while requests run.

A version is loaded and warmed before the one that it replaces is retired, and a version is closed
when its last request has its response. A version that cannot be loaded, or is not as it was
written (see `export.integrity`), leaves the old one serving, and is tried again some times, and
whenever its files change. Where a base path holds no version any more, loaded versions stay; where
it holds none so far, the server waits for one.
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
from mptrec_tf.export.integrity import check_version
from mptrec_tf.export.versions import check_base_path, list_version_directories
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
      files: What `_stat_files` returned for it.
      tries: How often it was tried with these files.
      again: When to try again with these files.
    """

    files: Any
    tries: int
    again: float


class Version:
    """A version of a model, from the time it was found.

    Attributes:
      model: str. The model's name.
      number: int.
      state: As TF Serving reports it.
      error: str. Why it could not be loaded; empty if it could.
      servable: What predicts; None unless it is loaded.
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
    def hold(self) -> Iterator[None]:
        """Keeps the version loaded as long as the block runs."""
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def wait_until_unused(self) -> None:
        """Waits until no request holds it."""
        await self._unused.wait()


class _Model:
    """The versions of one model."""

    def __init__(self, config: ModelConfig):
        self.config = config
        self.versions: dict[int, Version] = {}
        self.failed: dict[int, _Failure] = {}
        self.problem = ""  # why there was nothing to load, the last time
        self.logged = ""  # the problem that was logged last

    def list_available(self) -> list[int]:
        """Returns the numbers of the loaded versions, ascending."""
        return sorted(n for n, v in self.versions.items() if v.state == State.AVAILABLE)


class Models:
    """All models that a server serves.

    Args:
      configs: The models to serve.
      metrics: Measures the loading.
      loading: How versions are loaded.
      reread: Returns the models to serve now, for a configuration that changes; it may raise
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
        """Checks for changes until it is cancelled.

        Args:
          seconds: Between checks for versions; 0 to check only after the configuration is read.
          reread_seconds: Between readings of the configuration; 0 for none.
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
        """Reads the configuration again; one that cannot be read changes nothing."""
        try:
            self._configure(await self._in_thread(self._reread))
        except InputError as error:
            _log.error("%s The models are served as before.", error)

    async def refresh(self) -> None:
        """Loads and retires versions, as the base paths hold them."""
        for name, model in list(self._models.items()):
            model.problem = ""
            try:
                await self._refresh_model(model)
            # A storage that is out of reach for a while must not stop the other models.
            except Exception as error:
                model.problem = f"looking for its versions failed: {error}"
                _log.error("%s: %s", name, model.problem)
            else:
                if model.problem and model.problem != model.logged:
                    _log.warning("%s: %s; %s", name, model.problem, _describe_loaded(model))
            model.logged = model.problem

    def _configure(self, configs: Sequence[ModelConfig]) -> None:
        wanted = {config.name: config for config in configs}
        for name in self._models.keys() - wanted.keys():
            for number in self._models[name].list_available():
                self._retire(self._models[name].versions[number])
            del self._models[name]
        for name, config in wanted.items():
            if name in self._models:
                self._models[name].config = config
            else:
                self._models[name] = _Model(config)

    async def _refresh_model(self, model: _Model) -> None:
        paths = await self._in_thread(list_version_directories, model.config.base_path)
        chosen = model.config.choose_versions(list(paths))
        if not chosen:
            model.problem = await self._in_thread(_explain_none, model.config, list(paths))
        for number in chosen:
            known = model.versions.get(number)
            if known is None or known.state != State.AVAILABLE:
                await self._load(model, number, paths[number])
        available = model.list_available()
        # Nothing is retired before a chosen version is loaded.
        if set(chosen) & set(available):
            for number in set(available) - set(chosen):
                self._retire(model.versions[number])
            available = model.list_available()
        if available:
            self._metrics.version.labels(model.config.name).set(available[-1])
        ended = [n for n, v in sorted(model.versions.items()) if v.state == State.END]
        for number in ended[:-_REMEMBERED]:
            del model.versions[number]

    async def _load(self, model: _Model, number: int, path: str) -> None:
        name = model.config.name
        files = await self._in_thread(_stat_files, path)
        failure = model.failed.get(number)
        if failure is None or failure.files != files:
            failure = _Failure(files, 0, 0.0)
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
            loaded = _describe_loaded(model)
            again = f"it is tried again {left} times" if left else "it is tried again"
            _log.error(
                "%s %d: %s; %s; %s when its files change", name, number, error, loaded, again
            )
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
        await version.wait_until_unused()
        servable, version.servable = version.servable, None
        await self._in_thread(servable.close)
        version.state = State.END
        _log.info("%s %d is unloaded", version.model, version.number)

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    def list_served(self) -> list[str]:
        """Returns the names of the models that have a loaded version."""
        return [name for name, model in self._models.items() if model.list_available()]

    def explain_unserved(self) -> Mapping[str, str]:
        """Returns the models without a loaded version, and why they have none."""
        return {
            name: "; ".join(v.error for v in model.versions.values() if v.error) or model.problem
            for name, model in self._models.items()
            if not model.list_available()
        }

    def find(self, spec: model_pb2.ModelSpec) -> Version:
        """Returns the loaded version that a request names.

        Raises:
          RequestError: if there is none, with TF Serving's message.
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
        return max(model.list_available(), default=None)

    def get_status(self, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns the states of a model's versions, or of the requested one.

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
        """Unloads all versions; nothing may run any more."""
        for model in self._models.values():
            for number in model.list_available():
                self._retire(model.versions[number])
        if self._closing:
            await asyncio.wait(self._closing)
        self._thread.shutdown(wait=True)


def _describe_loaded(model: _Model) -> str:
    available = model.list_available()
    return f"{available} stay loaded" if available else "nothing is served"


def _explain_none(config: ModelConfig, numbers: list[int]) -> str:
    """Returns why a base path holds nothing to serve."""
    if numbers:
        return (
            f"{config.base_path} holds versions {numbers}, but {list(config.specific)} are "
            "configured"
        )
    try:
        check_base_path(config.base_path)
    except InputError as error:
        return str(error).rstrip(".")
    return f"there is no version in {config.base_path}"


def _stat_files(path: str) -> Any:
    """Returns times and sizes of a version's files, which change when somebody fixes it."""
    stats = []
    for folder, _, names in tf.io.gfile.walk(path):
        try:
            for name in ("", *names):
                stat = tf.io.gfile.stat(os.path.join(folder, name))
                stats.append((folder, name, stat.mtime_nsec, stat.length))
        except tf.errors.OpError:
            stats.append(folder)
    return sorted(stats, key=str)


def _load_warm(path: str, options: LoadOptions) -> tuple[Servable, int]:
    try:
        check_version(path, options.public_key)
    except InputError as error:
        raise LoadError(str(error).rstrip(".")) from error
    servable = Servable(path, options)
    try:
        return servable, servable.warm_up() if options.warm_up else 0
    except LoadError:
        servable.close()
        raise
