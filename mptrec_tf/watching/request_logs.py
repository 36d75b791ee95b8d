"""Reads request logs: TFRecords of PredictionLogs, as TF Serving and mptrec-serve write them.

A record holds a request for predictions, its response and, in `log_metadata`, its time. Requests of
the signatures `columns`, `spec_columns` and `serving_default` are read; over REST they are logged
in the same way as over gRPC. Records that are not of the model that is watched, or damaged, are
left out and counted by reason.
"""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from mptrec_tf.data.input_names import SPEC_COLUMNS
from mptrec_tf.data.sources.number_text import format_numbers
from mptrec_tf.data.sources.tabular import list_shards
from mptrec_tf.errors import InputError
from mptrec_tf.watching.decoding import Tensors, decode, decode_map
from mptrec_tf.watching.watched_version import WatchedVersion

EXAMPLES, COLUMNS = "serving_default", "columns"
# Records that are decoded together; fewer of large ones.
_BATCH = 20_000
_MOST_BYTES = 32 << 20
# More damaged records are none of a request log.
_MOST_DAMAGED = 1000
_UNFINISHED = ".incomplete-"
_FRAME = 16  # bytes that TFRecord adds to each record
_COMPRESSED = 5  # about how many times larger the records of a .gz file are
_NO_NAME = ""
_DAMAGED = "damaged"
_FIRST = 100  # records that tell how many rows a request has
_THREADS = 2


@dataclasses.dataclass(frozen=True)
class Served:
    """The rows of some requests that the model predicted.

    Attributes:
      requests: int. How many requests.
      times: [n] float64. Seconds since 1970 of each row's request; NaN if it has no time.
      predictions: By task, [n] or [n, outputs] float32; NaN where a request did not ask for it.
      ids: [n] text that identifies each row, or None where its request has no such column; None if
        no ids are read.
      sample: Raw columns of every k-th request's rows by the spec's names, as the signature
        `columns` takes them, or serialized tf.Examples under the name "examples"; None if no
        request is among them.
      sample_times: [m]. The times of these rows.
    """

    requests: int
    times: np.ndarray
    predictions: Mapping[str, np.ndarray]
    ids: np.ndarray | None
    sample: Mapping[str, tf.Tensor] | None
    sample_times: np.ndarray


class _MisfitError(Exception):
    """A group of records of which some cannot be read as the model's."""


@dataclasses.dataclass(frozen=True)
class _Result:
    """What was read of some records: see `RequestLog` for the counts."""

    served: list[Served]
    left_out: collections.Counter
    names: collections.Counter

    def join(self, other: "_Result") -> "_Result":
        return _Result(
            self.served + other.served, self.left_out + other.left_out, self.names + other.names
        )


class RequestLog:
    """The request logs of one version of a model.

    Args:
      paths: Files, globs or folders.
      version: The version that is watched.
      name: The model's name in requests. Defaults to the one that the logs have.
      id_columns: Columns whose values together identify a row: inputs of the requests, or features
        of tf.Examples, which the model need not read.
      most_rows: About how many rows `Served.sample` has in all.

    Attributes:
      files: The files.
      left_out: Records by the reason why they were left out.
      names: Requests by the model's name in them.
      broken: Files that end in the middle of a record, or are damaged from there on.

    Raises:
      InputError: if no file matches.
    """

    def __init__(
        self,
        paths: Sequence[str],
        version: WatchedVersion,
        name: str | None = None,
        id_columns: Sequence[str] = (),
        most_rows: int = 100_000,
    ):
        found = list_shards(paths)
        self.files = [path for path in found if _UNFINISHED not in path]
        if not self.files:
            raise InputError(f"{found[0]} is still being written; give logs that are complete.")
        self.left_out: collections.Counter[str] = collections.Counter()
        self.names: collections.Counter[str] = collections.Counter()
        self.broken: list[str] = []
        self._version, self._name, self._id_columns = version, name, tuple(id_columns)
        self._most_rows = most_rows
        self._of_input = {input_: column for column, input_ in version.inputs.items()}
        self._step = 0
        self._read = 0

    def read(self) -> Iterator[Served]:
        """Yields the rows of all requests that fit, in the order of the files.

        Raises:
          InputError: for a file that is no request log, or requests to models of several names.
        """
        for path, result in self._map_groups():
            self.left_out += result.left_out
            self.names += result.names
            if self.left_out[_DAMAGED] > _MOST_DAMAGED:
                raise InputError(
                    f"{path} is no request log: more than {_MOST_DAMAGED:,} records of it are no "
                    "PredictionLog; give files that TF Serving or mptrec-serve --log_requests "
                    "wrote."
                )
            if len(self.names) > 1:
                names = ", ".join(sorted(self.names))
                raise InputError(
                    f"{path} and the files before it hold requests to several models that fit "
                    f"({names}); name the one to watch, by --model_name."
                )
            yield from result.served

    def _map_groups(self) -> Iterator[tuple[str, "_Result"]]:
        """Yields each group's file and result in order, while others are decoded in threads."""
        waiting: collections.deque = collections.deque()
        with futures.ThreadPoolExecutor(_THREADS) as pool:
            try:
                for path in self.files:
                    for records in self._read_records(path):
                        for group, place in self._group(records):
                            task = pool.submit(self._read_group, group, place)
                            waiting.append((path, task))
                            while len(waiting) > 2 * _THREADS:
                                before, task = waiting.popleft()
                                yield before, task.result()
                for before, task in waiting:
                    yield before, task.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _group(self, records: np.ndarray) -> Iterator[tuple[tf.Tensor, np.ndarray]]:
        """Yields records of similar sizes, as the largest decides about the memory, and places."""
        sizes = np.array([len(r) for r in records])
        if not self._step:
            size = sum(
                tf.io.gfile.stat(path).length * (_COMPRESSED if path.endswith(".gz") else 1)
                for path in self.files
            )
            rows = size / (sizes.mean() + _FRAME) * _estimate_rows(records[:_FIRST])
            self._step = max(1, round(rows / self._most_rows))
        places = np.arange(self._read, self._read + len(records))
        self._read += len(records)
        groups = np.frexp(sizes)[1]
        for group in np.unique(groups):
            chosen = np.flatnonzero(groups == group)
            yield tf.constant(records[chosen], tf.string), places[chosen]

    def _read_records(self, path: str) -> Iterator[np.ndarray]:
        """Yields the records of a file, [n] bytes each; of a broken file those before the break."""
        compression = "GZIP" if path.endswith(".gz") else ""
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                file.read(1)
            data = tf.data.TFRecordDataset(path, compression, num_parallel_reads=None)
            first = next(iter(data.batch(100).take(1)), None)
        except tf.errors.DataLossError:
            first = tf.constant([""])  # cut within the first records
        except tf.errors.OpError as error:
            raise InputError(f"cannot read {path}: {error.message}.") from error
        if first is None:
            return
        size = max(1, int(np.mean([len(r) for r in first.numpy()])))
        count = max(1, min(_BATCH, _MOST_BYTES // size))
        done = 0
        try:
            for batch in data.batch(count).prefetch(1):
                yield batch.numpy()
                done += len(batch)
        except tf.errors.DataLossError as error:
            rest = _read_up_to_break(data.skip(done))
            if not done and not len(rest):
                raise InputError(
                    f"{path} is no request log: it holds no whole TFRecord ({error.message}); give "
                    "files that TF Serving or mptrec-serve --log_requests wrote."
                ) from error
            self.broken.append(path)
            if len(rest):
                yield rest

    def _read_group(self, records: tf.Tensor, place: np.ndarray) -> "_Result":
        """Returns what of some records fits, looking for the bad ones by halves."""
        try:
            return self._decode(records, place)
        except (tf.errors.InvalidArgumentError, tf.errors.DataLossError, _MisfitError) as error:
            if len(place) == 1:
                reason = str(error) if isinstance(error, _MisfitError) else _DAMAGED
                return _Result([], collections.Counter({reason: 1}), collections.Counter())
            half = len(place) // 2
            first = self._read_group(records[:half], place[:half])
            if first.left_out[_DAMAGED] > _MOST_DAMAGED:
                return first
            return first.join(self._read_group(records[half:], place[half:]))

    def _decode(self, records: tf.Tensor, place: np.ndarray) -> _Result:
        left_out: collections.Counter[str] = collections.Counter()
        has, (metadata, predict) = decode(
            records, "PredictionLog", {"log_metadata": tf.string, "predict_log": tf.string}
        )
        _, (request, response) = decode(
            predict, "PredictLog", {"request": tf.string, "response": tf.string}
        )
        _, (of_log, seconds) = decode(
            metadata, "LogMetadata", {"model_spec": tf.string, "timestamp_secs": tf.int64}
        )
        _, (of_request,) = decode(request, "PredictRequest", {"model_spec": tf.string})
        _, (of_response,) = decode(response, "PredictResponse", {"model_spec": tf.string})
        specs = [_read_spec(of) for of in (of_response, of_request, of_log)]
        names, signatures, numbers = (_first_known([of[i] for of in specs]) for i in range(3))
        signatures = np.where(signatures == _NO_NAME, EXAMPLES, signatures)
        good = np.ones(len(place), bool)

        def leave_out(rows: np.ndarray, reason: str) -> None:
            nonlocal good
            left_out[reason] += int((rows & good).sum())
            good &= ~rows

        leave_out(~has[:, 1], "of another kind than predict")
        if self._name is not None:
            leave_out(names != self._name, "of another model")
        number = self._version.number
        if number is not None:
            leave_out((numbers != 0) & (numbers != number), "of another version")
        known = np.isin(signatures, [EXAMPLES, COLUMNS, SPEC_COLUMNS])
        leave_out(~known, "of another signature")
        outputs = decode_map(response, "PredictResponse", "outputs")
        tasks = [task.name for task in self._version.tasks if task.name in outputs]
        given = np.zeros(len(place), bool)
        for task in tasks:
            given[outputs[task][0]] = True
        leave_out(~given, "of another model")
        # Without ids, inputs of sampled requests are enough.
        inputs = {}
        wanted = np.ones(len(place), bool)
        if not self._id_columns:
            wanted = place % self._step == 0
        if wanted.any():
            inputs = decode_map(request, "PredictRequest", "inputs", np.flatnonzero(wanted))
        missing = np.zeros(len(place), bool)
        for signature in (EXAMPLES, COLUMNS, SPEC_COLUMNS):
            of = signatures == signature
            for name in self._list_inputs(signature):
                there = np.zeros(len(place), bool)
                there[inputs[name][0] if name in inputs else []] = True
                missing |= of & wanted & ~there
        leave_out(missing, "of another model")
        served = self._read_rows(good, signatures, seconds.numpy(), place, inputs, outputs, tasks)
        return _Result(
            [served] if served else [], left_out, collections.Counter(names[good].tolist())
        )

    def _list_inputs(self, signature: str) -> list[str]:
        """Returns the inputs that a request to a signature has to have."""
        if signature == EXAMPLES:
            return ["examples"]
        optional = self._version.spec.optional_numbers
        return [
            column if signature == SPEC_COLUMNS else input_
            for column, input_ in self._version.inputs.items()
            if column not in optional
        ]

    def _read_rows(self, good, signatures, seconds, place, inputs, outputs, tasks) -> Served | None:
        requests = np.flatnonzero(good)
        if not len(requests):
            return None
        tensors = {task: Tensors(_select(outputs[task], requests)[1]) for task in tasks}
        rows = np.zeros(len(requests), np.int64)
        for task in tasks:
            owners, _ = _select(outputs[task], requests)
            rows[owners] = np.maximum(rows[owners], tensors[task].rows)
        total = int(rows.sum())
        row_of = np.repeat(np.arange(len(requests)), rows)
        predictions = {}
        for task in self._version.tasks:
            shape = [total] if task.outputs == 1 else [total, task.outputs]
            array = np.full(shape, np.nan, np.float32)
            if task.name in tensors:
                owners, _ = _select(outputs[task.name], requests)
                values = tensors[task.name].spread(rows[owners])
                if values is None or values.dtype != tf.float32:
                    raise _MisfitError("of another model")
                of_rows = np.isin(row_of, owners)
                if array[of_rows].shape != values.shape:
                    raise _MisfitError("of another model")
                array[of_rows] = values.numpy()
            predictions[task.name] = array
        times = np.where(seconds[requests] > 0, seconds[requests], np.nan).astype(np.float64)
        ids = None
        if self._id_columns:
            ids = self._read_ids(requests, signatures[requests], rows, inputs)
        chosen = place[requests] % self._step == 0
        sample, sampled = self._read_sample(requests, signatures[requests], rows, chosen, inputs)
        return Served(
            len(requests), times[row_of], predictions, ids, sample, np.repeat(times, rows)[sampled]
        )

    def _read_sample(
        self, requests, signatures, rows, chosen, inputs
    ) -> tuple[list[dict[str, tf.Tensor]], np.ndarray]:
        """Returns the raw columns of some requests, by signature, and their rows among all."""
        parts, order = [], []
        starts = np.cumsum(rows) - rows
        for signature in (EXAMPLES, COLUMNS, SPEC_COLUMNS):
            places = np.flatnonzero(chosen & (signatures == signature))
            if not len(places):
                continue
            columns = {}
            for column, input_ in self._version.inputs.items():
                name = column if signature == SPEC_COLUMNS else input_
                if signature == EXAMPLES:
                    column = name = "examples"
                values = self._read_input(inputs.get(name), requests[places], rows[places])
                if values is not None:
                    columns[column] = values
                if signature == EXAMPLES:
                    break
            parts.append(columns)
            order.append(
                np.concatenate([np.arange(starts[p], starts[p] + rows[p]) for p in places])
            )
        return parts, np.concatenate(order) if order else np.zeros(0, np.int64)

    def _read_input(self, entry, requests: np.ndarray, rows: np.ndarray) -> tf.Tensor | None:
        """Returns an input of requests, spread over their rows; NaN where it may be left out."""
        owners, protos = _select(entry, requests) if entry else (np.zeros(0, int), None)
        if not len(owners):
            return None
        values = Tensors(protos).spread(rows[owners])
        if values is None:
            raise _MisfitError("of another model")
        if len(owners) == len(requests):
            return values
        full = np.full(rows.sum(), np.nan, np.float32)
        full[np.isin(np.repeat(np.arange(len(rows)), rows), owners)] = values.numpy()
        return tf.constant(full)

    def _read_ids(self, requests, signatures, rows, inputs) -> np.ndarray:
        """Returns the text that identifies each row; None where a column of it is not there."""
        total = int(rows.sum())
        ids = np.full(total, "", object)
        known = np.ones(total, bool)
        row_of = np.repeat(np.arange(len(requests)), rows)
        examples = signatures == EXAMPLES
        for column in self._id_columns:
            texts = np.full(total, None, object)
            input_ = self._version.inputs.get(column, column)
            for name in dict.fromkeys([column, input_]):
                if name not in inputs:
                    continue
                owners, protos = _select(inputs[name], requests)
                if len(owners):
                    values = Tensors(protos).spread(rows[owners])
                    if values is None:
                        raise _MisfitError("of another model")
                    texts[np.isin(row_of, owners)] = _to_text(values)
            if examples.any():
                of = np.flatnonzero(examples)
                owners, protos = _select(inputs["examples"], requests[of])
                serialized = Tensors(protos).spread(rows[of][owners])
                texts[np.isin(row_of, of)] = _read_feature(serialized, column)
            there = np.array([text is not None for text in texts])
            known &= there
            texts[~there] = ""
            ids = texts if len(self._id_columns) == 1 else ids + "\x1f" + texts
        ids[~known] = None
        return ids


def _estimate_rows(records: Sequence[bytes]) -> float:
    """Returns the mean number of rows of some records' requests."""
    rows = []
    for record in records:
        try:
            log = prediction_log_pb2.PredictionLog.FromString(record)
        except DecodeError:
            continue
        shapes = [of.tensor_shape.dim for of in log.predict_log.response.outputs.values()]
        rows.append(max((shape[0].size for shape in shapes if shape), default=1))
    return max(1.0, float(np.mean(rows))) if rows else 1.0


def _read_up_to_break(data: tf.data.Dataset) -> np.ndarray:
    """Returns the records of a file before its break, one by one."""
    records = []
    try:
        for record in data:
            records.append(record.numpy())
    except tf.errors.DataLossError:
        pass
    array = np.empty(len(records), object)
    array[:] = records
    return array


def _read_spec(specs: tf.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns names, signatures and numbers of versions of serialized ModelSpecs [n]."""
    distinct, codes = tf.unique(specs)  # of which there are few
    _, (names, signatures, versions) = decode(
        distinct,
        "ModelSpec",
        {"name": tf.string, "signature_name": tf.string, "version": tf.string},
    )
    # Int64Value is in the messages' dependencies, under google.protobuf.
    _, [numbers] = decode(versions, "google.protobuf.Int64Value", {"value": tf.int64})
    of = (names.numpy().astype(str), signatures.numpy().astype(str), numbers.numpy())
    return tuple(values[codes.numpy()] for values in of)


def _first_known(options: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the first of several values [n] that is not empty or 0, for each."""
    chosen = options[0]
    for other in options[1:]:
        chosen = np.where(chosen == chosen.dtype.type(), other, chosen)
    return chosen


def _select(entry, requests: np.ndarray) -> tuple[np.ndarray, tf.Tensor]:
    """Returns which of some requests have an input or output, and the tensors of those."""
    owners, protos = entry
    place = np.searchsorted(owners, requests)
    there = (place < len(owners)) & (owners[np.minimum(place, len(owners) - 1)] == requests)
    return np.flatnonzero(there), tf.gather(protos, place[there])


def _to_text(values: tf.Tensor) -> np.ndarray:
    if values.dtype == tf.string:
        return np.array([v.decode(errors="replace") for v in values.numpy().tolist()], object)
    return np.asarray(format_numbers(values.numpy()), object)


def _read_feature(serialized: tf.Tensor, name: str) -> np.ndarray:
    """Returns a feature's first value of tf.Examples [n] as text; None where it is not there."""
    for dtype in (tf.string, tf.int64, tf.float32):
        try:
            parsed = tf.io.parse_example(serialized, {name: tf.io.VarLenFeature(dtype)})[name]
        except tf.errors.InvalidArgumentError:
            continue
        texts = np.full(len(serialized), None, object)
        owners, first = np.unique(parsed.indices.numpy()[:, 0], return_index=True)
        values = tf.gather(parsed.values, first)
        texts[owners] = (
            values.numpy().astype(str) if dtype == tf.int64 else _to_text(values)
        ).astype(object)
        return texts
    return np.full(len(serialized), None, object)
