"""Reads request logs: TFRecords of PredictionLogs, as TF Serving and mptrec-serve write them.

A record holds a request for predictions, its response and, in `log_metadata`, its time. Requests of
the signatures of columns and of `serving_default` are read, whether they came by gRPC or by REST.
Records that are not of the model that is watched, or damaged, are left out and counted by reason.
"""

import collections
from collections.abc import Iterator, Sequence
from concurrent import futures

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from mptrec_tf.data.sources.tabular import list_shards
from mptrec_tf.errors import InputError
from mptrec_tf.storage.staging import is_staging_name
from mptrec_tf.watching.logged_requests import Decoded, MisfitError, RequestDecoder, Served
from mptrec_tf.watching.watched_version import WatchedVersion

# Records that are decoded together; fewer of large ones.
_BATCH = 20_000
_MOST_BYTES = 32 << 20
# More damaged records are none of a request log.
_MOST_DAMAGED = 1000
_DAMAGED = "damaged"
_FRAME = 16  # bytes that TFRecord adds to each record
_COMPRESSED = 5  # about how many times larger the records of a .gz file are
_FIRST = 100  # records that tell how large records are, and how many rows a request has
_THREADS = 2
_WROTE = "give files that TF Serving or mptrec-serve --log_requests wrote"


class RequestLog:
    """The request logs of one version of a model.

    Args:
      paths: Files, globs or folders; names in .gz are compressed.
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
        self.files = [path for path in found if not is_staging_name(path)]
        if not self.files:
            raise InputError(f"{found[0]} is still being written; give logs that are complete.")
        self.left_out: collections.Counter[str] = collections.Counter()
        self.names: collections.Counter[str] = collections.Counter()
        self.broken: list[str] = []
        self._version, self._name, self._id_columns = version, name, tuple(id_columns)
        self._most_rows = most_rows
        self._decoder: RequestDecoder | None = None
        self._read = 0

    def read(self) -> Iterator[Served]:
        """Yields the rows of all requests that fit, in the order of the files.

        Raises:
          InputError: for a file that is no request log, files none of which is one, or requests to
            models of several names.
        """
        damaged: collections.Counter[str] = collections.Counter()
        for path, decoded in self._map_groups():
            self.left_out += decoded.left_out
            self.names += decoded.names
            damaged[path] += decoded.left_out[_DAMAGED]
            if damaged[path] > _MOST_DAMAGED:
                raise InputError(
                    f"{path} is no request log: more than {_MOST_DAMAGED:,} records of it are no "
                    f"PredictionLog; {_WROTE}."
                )
            if len(self.names) > 1:
                names = ", ".join(sorted(self.names))
                raise InputError(
                    f"{path} and the files before it hold requests to several models that fit "
                    f"({names}); name the one to watch, by --model_name."
                )
            yield from decoded.served
        if self.broken and not self._read:
            raise InputError(
                f"{self.broken[0]} is no request log: it holds no whole TFRecord; {_WROTE}."
            )

    def _map_groups(self) -> Iterator[tuple[str, Decoded]]:
        """Yields each group's file and result in order, while others are decoded in threads."""
        waiting: collections.deque = collections.deque()
        with futures.ThreadPoolExecutor(_THREADS) as pool:
            try:
                for path in self.files:
                    for records in self._read_records(path):
                        for group, numbers in self._group(records):
                            waiting.append((path, pool.submit(self._decode, group, numbers)))
                            while len(waiting) > 2 * _THREADS:
                                before, task = waiting.popleft()
                                yield before, task.result()
                for before, task in waiting:
                    yield before, task.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _group(self, records: np.ndarray) -> Iterator[tuple[tf.Tensor, np.ndarray]]:
        """Yields records of similar sizes, as the largest decides about the memory, and numbers."""
        sizes = np.array([len(record) for record in records])
        if self._decoder is None:
            count = sum(map(_measure, self.files)) / (sizes.mean() + _FRAME)
            rows = count * _count_rows(records[:_FIRST])
            step = max(1, round(rows / self._most_rows))
            self._decoder = RequestDecoder(self._version, self._name, self._id_columns, step)
        numbers = np.arange(self._read, self._read + len(records))
        self._read += len(records)
        groups = np.frexp(sizes)[1]
        for group in np.unique(groups):
            chosen = np.flatnonzero(groups == group)
            yield tf.constant(records[chosen], tf.string), numbers[chosen]

    def _read_records(self, path: str) -> Iterator[np.ndarray]:
        """Yields the records of a file, [n] bytes each; of a broken file those before the break."""
        data = tf.data.TFRecordDataset(path, "GZIP" if path.endswith(".gz") else "")
        done, count = 0, _FIRST
        try:
            while True:
                # The first records tell how large they are.
                for batch in data.skip(done).batch(count).prefetch(1):
                    records = batch.numpy()
                    yield records
                    done += len(records)
                    if count == _FIRST:
                        break
                else:
                    return
                size = max(1, int(np.mean([len(record) for record in records])))
                count = max(_FIRST + 1, min(_BATCH, _MOST_BYTES // size))
        except tf.errors.DataLossError:
            self.broken.append(path)
            rest = _read_up_to_break(data.skip(done))
            if len(rest):
                yield rest
        except tf.errors.OpError as error:
            raise InputError(f"cannot read {path}: {error.message}.") from error

    def _decode(self, records: tf.Tensor, numbers: np.ndarray) -> Decoded:
        """Returns what of some records fits, looking for the bad ones by halves."""
        try:
            return self._decoder.decode(records, numbers)
        except (tf.errors.InvalidArgumentError, tf.errors.DataLossError, MisfitError) as error:
            if len(numbers) == 1:
                reason = str(error) if isinstance(error, MisfitError) else _DAMAGED
                return Decoded([], collections.Counter({reason: 1}), collections.Counter())
            half = len(numbers) // 2
            first = self._decode(records[:half], numbers[:half])
            if first.left_out[_DAMAGED] > _MOST_DAMAGED:
                return first
            return first.join(self._decode(records[half:], numbers[half:]))


def _measure(path: str) -> float:
    """Returns about how many bytes the records of a file have."""
    return tf.io.gfile.stat(path).length * (_COMPRESSED if path.endswith(".gz") else 1)


def _count_rows(records: Sequence[bytes]) -> float:
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
