"""Decodes logged requests, many at once: their rows' predictions, times, ids and raw columns."""

import collections
import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.data.input_names import COLUMNS_WITH_ID, REQUEST_ID, SPEC_COLUMNS
from mptrec_tf.data.packed import request_specs
from mptrec_tf.watching.decoding import Tensors, decode, decode_map
from mptrec_tf.watching.row_ids import ID_SEPARATOR, read_feature, to_text, unify_numbers
from mptrec_tf.watching.watched_version import WatchedVersion

EXAMPLES, COLUMNS = "serving_default", "columns"
SIGNATURES = (EXAMPLES, COLUMNS, COLUMNS_WITH_ID, SPEC_COLUMNS)
OTHER_MODEL = "of another model"
_GOLDEN_RATIO = (1 + math.sqrt(5)) / 2

# By key of a map: which messages have it, ascending, and their serialized tensors.
_Map = Mapping[str, tuple[np.ndarray, tf.Tensor]]


class MisfitError(Exception):
    """Some of the records cannot be read as requests to the model."""


@dataclasses.dataclass(frozen=True)
class Served:
    """The rows of some requests that the model predicted.

    Attributes:
      requests: int. How many requests.
      times: [n] float64. Seconds since 1970 of each row's request; NaN if it has no time.
      predictions: By task, [n] or [n, outputs] float32; NaN where a request did not ask for it.
      ids: [n] text that identifies each row, or None where its request has no such column, or
        an empty text there; None if no ids are read.
      sample: Raw columns of the rows of sampled requests, a part for each signature: by the spec's
        names, as the signature `columns` takes them, or as serialized tf.Examples under "examples".
      sample_times: [m]. The times of these rows, part after part.
    """

    requests: int
    times: np.ndarray
    predictions: Mapping[str, np.ndarray]
    ids: np.ndarray | None
    sample: Sequence[Mapping[str, tf.Tensor]]
    sample_times: np.ndarray


@dataclasses.dataclass(frozen=True)
class Decoded:
    """What was read of some records.

    Attributes:
      served: What fits; nothing or one, or several after `join`.
      left_out: Records by the reason why they were left out.
      names: Requests by the model's name in them.
    """

    served: list[Served]
    left_out: collections.Counter
    names: collections.Counter

    def join(self, other: "Decoded") -> "Decoded":
        """Returns both."""
        return Decoded(
            self.served + other.served, self.left_out + other.left_out, self.names + other.names
        )


@dataclasses.dataclass(frozen=True)
class _Requests:
    """Requests that fit, and how many rows each has.

    Attributes:
      places: [k]. Their places among the records.
      signatures: [k].
      rows: [k].
      inputs: Their inputs, and those of other records.
    """

    places: np.ndarray
    signatures: np.ndarray
    rows: np.ndarray
    inputs: _Map

    @functools.cached_property
    def owners(self) -> np.ndarray:
        """The request of each row, [n]."""
        return np.repeat(np.arange(len(self.rows)), self.rows)

    def spread(self, name: str) -> tuple[np.ndarray, tf.Tensor] | None:
        """Returns which rows have an input, [n] bool, and its values there; None if none has it.

        Raises:
          MisfitError: for an input of another type, or with other rows.
        """
        if name not in self.inputs:
            return None
        having, protos = select(self.inputs[name], self.places)
        if not len(having):
            return None
        values = Tensors(protos).spread(self.rows[having])
        if values is None:
            raise MisfitError(OTHER_MODEL)
        return np.isin(self.owners, having), values

    def where(self, chosen: np.ndarray) -> "_Requests":
        """Returns some of the requests, [k] bool."""
        return _Requests(
            self.places[chosen], self.signatures[chosen], self.rows[chosen], self.inputs
        )


class RequestDecoder:
    """Decodes records of one version's requests.

    Args:
      version: The version.
      name: The model's name in requests; None for any.
      id_columns: Columns that together identify a row.
      step: One of so many records is sampled.
    """

    def __init__(
        self, version: WatchedVersion, name: str | None, id_columns: Sequence[str], step: int
    ):
        self._version, self._name = version, name
        self._id_columns, self._step = tuple(id_columns), step
        # A column that the model does not read is the input that is there for ids; that is one.
        others = [column for column in id_columns if column not in version.inputs]
        self._for_input = REQUEST_ID if REQUEST_ID in others else next(iter(others), None)
        self._inputs = {
            "examples": tf.TensorSpec([None], tf.string),
            **request_specs(version.spec),
        }

    def decode(self, records: tf.Tensor, numbers: np.ndarray) -> Decoded:
        """Returns what fits of records [n].

        Args:
          records: Serialized PredictionLogs.
          numbers: [n]. Their numbers in all files, which decide about the sample.

        Raises:
          tf.errors.InvalidArgumentError: if one of them is no PredictionLog.
          MisfitError: if the values of one do not fit the model.
        """
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
        names, signatures, versions = (_first_known([of[i] for of in specs]) for i in range(3))
        signatures = np.where(signatures == "", EXAMPLES, signatures)
        # Multiples of the golden ratio are spread evenly, also those of every second record, of
        # which a log may alternate between two models.
        sampled = numbers * _GOLDEN_RATIO % 1 < 1 / self._step
        wanted = np.flatnonzero(sampled | bool(self._id_columns))
        outputs = decode_map(response, "PredictResponse", "outputs")
        inputs = decode_map(request, "PredictRequest", "inputs", wanted) if len(wanted) else {}
        good, left_out = np.ones(len(numbers), bool), collections.Counter()
        own = self._version.number
        for bad, reason in (
            (~has[:, 1], "of another kind than predict"),
            (names != (self._name or names), OTHER_MODEL),
            ((versions != 0) & (versions != (own or versions)), "of another version"),
            (~np.isin(signatures, SIGNATURES), "of another signature"),
            (self._find_others(signatures, inputs, outputs, wanted), OTHER_MODEL),
        ):
            left_out[reason] += int((bad & good).sum())
            good &= ~bad
        served = []
        if good.any():
            served.append(
                self._read(
                    _Requests(np.flatnonzero(good), signatures[good], np.zeros(0, int), inputs),
                    outputs,
                    seconds.numpy()[good],
                    sampled[good],
                )
            )
        return Decoded(served, +left_out, collections.Counter(names[good].tolist()))

    def _find_others(
        self, signatures: np.ndarray, inputs: _Map, outputs: _Map, wanted: np.ndarray
    ) -> np.ndarray:
        """Returns which records have no task of the model, or lack an input of it, [n] bool."""
        count = len(signatures)

        def having(of: _Map, name: str) -> np.ndarray:
            has = np.zeros(count, bool)
            has[of[name][0] if name in of else []] = True
            return has

        others = np.ones(count, bool)
        for task in self._version.tasks:
            others &= ~having(outputs, task.name)
        is_wanted = np.zeros(count, bool)
        is_wanted[wanted] = True
        for signature in SIGNATURES:
            of = is_wanted & (signatures == signature)
            for name in self._list_inputs(signature) if of.any() else ():
                others |= of & ~having(inputs, name)
        return others

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

    def _read(
        self, requests: _Requests, outputs: _Map, seconds: np.ndarray, sampled: np.ndarray
    ) -> Served:
        given = {}
        rows = np.zeros(len(requests.places), np.int64)
        for task in self._version.tasks:
            if task.name in outputs:
                having, protos = select(outputs[task.name], requests.places)
                given[task.name] = having, Tensors(protos)
                rows[having] = np.maximum(rows[having], given[task.name][1].rows)
        requests = dataclasses.replace(requests, rows=rows)
        predictions = {}
        for task in self._version.tasks:
            shape = (int(rows.sum()),) if task.outputs == 1 else (int(rows.sum()), task.outputs)
            array = predictions[task.name] = np.full(shape, np.nan, np.float32)
            if task.name in given:
                having, tensors = given[task.name]
                values = tensors.spread(rows[having])
                of_rows = np.isin(requests.owners, having)
                if values is None or (array[of_rows].shape, "float32") != (
                    tuple(values.shape),
                    values.dtype.name,
                ):
                    raise MisfitError(OTHER_MODEL)
                array[of_rows] = values.numpy()
        times = np.where(seconds > 0, seconds, np.nan).astype(np.float64)
        ids = self._read_ids(requests) if self._id_columns else None
        sample, sample_times = self._read_sample(requests, times, sampled)
        return Served(len(rows), times[requests.owners], predictions, ids, sample, sample_times)

    def _read_sample(
        self, requests: _Requests, times: np.ndarray, sampled: np.ndarray
    ) -> tuple[list[dict[str, tf.Tensor]], np.ndarray]:
        """Returns the raw columns of sampled requests, by signature, and their rows' times."""
        parts, of_parts = [], [np.zeros(0)]
        for signature in SIGNATURES:
            chosen = sampled & (requests.signatures == signature)
            if not chosen.any():
                continue
            some = requests.where(chosen)
            names = {"examples": "examples"}
            if signature != EXAMPLES:
                names = {
                    column: column if signature == SPEC_COLUMNS else input_
                    for column, input_ in self._version.inputs.items()
                }
            columns = {}
            for column, name in names.items():
                found = some.spread(name)
                if found is None:
                    continue  # a number that may be left out
                having, values = found
                if not self._inputs[column].is_compatible_with(values):
                    raise MisfitError(OTHER_MODEL)
                if not having.all():
                    full = np.full(len(having), np.nan, np.float32)
                    full[having] = values.numpy()
                    values = tf.constant(full)
                columns[column] = values
            parts.append(columns)
            of_parts.append(times[chosen][some.owners])
        return parts, np.concatenate(of_parts)

    def _read_ids(self, requests: _Requests) -> np.ndarray:
        """Returns the text that identifies each row; None where a part of it is missing."""
        total = len(requests.owners)
        parts, known = [], np.ones(total, bool)
        examples = requests.signatures == EXAMPLES
        for column in self._id_columns:
            texts = np.full(total, None, object)
            names = [column, self._version.inputs.get(column, column)]
            if column == self._for_input:
                names.append(REQUEST_ID)
            for name in dict.fromkeys(names):
                found = requests.spread(name)
                if found is not None:
                    texts[found[0]] = to_text(found[1])
            if examples.any():
                _, serialized = requests.where(examples).spread("examples")
                texts[examples[requests.owners]] = read_feature(serialized, column)
            texts = unify_numbers(texts)
            known &= np.array([bool(text) for text in texts], bool)
            parts.append(texts)
        ids = np.full(total, None, object)
        ids[known] = parts[0][known]
        for texts in parts[1:]:
            ids[known] = ids[known] + ID_SEPARATOR + texts[known]
        return ids


def select(entry: tuple[np.ndarray, tf.Tensor], places: np.ndarray) -> tuple[np.ndarray, tf.Tensor]:
    """Returns which of some records have an input or output, and the tensors of those.

    Args:
      entry: A value of what `decode_map` returned.
      places: [k]. The records.
    """
    owners, protos = entry
    found = np.searchsorted(owners, places)
    there = (found < len(owners)) & (owners[np.minimum(found, len(owners) - 1)] == places)
    return np.flatnonzero(there), tf.gather(protos, found[there])


def _read_spec(specs: tf.Tensor) -> tuple[np.ndarray, ...]:
    """Returns names, signatures and numbers of versions of serialized ModelSpecs [n]."""
    distinct, codes = tf.unique(specs)  # of which there are few
    _, (names, signatures, versions) = decode(
        distinct,
        "ModelSpec",
        {"name": tf.string, "signature_name": tf.string, "version": tf.string},
    )
    _, [numbers] = decode(versions, "google.protobuf.Int64Value", {"value": tf.int64})
    texts = [
        np.array([text.decode(errors="replace") for text in of.numpy()])
        for of in (names, signatures)
    ]
    return tuple(values[codes.numpy()] for values in (*texts, numbers.numpy()))


def _first_known(options: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the first of several values [n] that is not empty or 0, for each."""
    chosen = options[0]
    for other in options[1:]:
        chosen = np.where(chosen == chosen.dtype.type(), other, chosen)
    return chosen
