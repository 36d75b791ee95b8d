"""One custom kind each of model, head, feature, task and data set, in no other file.

Each is registered by one call, at the end. `test_extension` uses them in every program; programs
import them as a plug-in (MPTREC_PLUGINS=toys).
"""

import dataclasses
import os

import numpy as np

import mptrec_tf  # noqa: F401  (before TensorFlow: it selects Keras 2)

import tensorflow as tf  # isort: skip

from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.base import NUMBER, Feature
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.features.registry import FEATURES
from mptrec_tf.data.features.sequences import ValueSequence
from mptrec_tf.data.features.vectors import Vector
from mptrec_tf.data.sets.data_set import DataSet
from mptrec_tf.data.sets.registry import DATASETS
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.registry import TASKS
from mptrec_tf.keras import keras
from mptrec_tf.kinds import PLUGINS
from mptrec_tf.layers.banks import ExpertBank, TowerBank
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.heads.base import Head, HeadOutputs
from mptrec_tf.models.heads.registry import HEADS, HeadKind
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.registry import MODELS, ModelKind
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.towers import TowerOutputs
from mptrec_tf.models.weights import count_parameters
from mptrec_tf.settings import setting

# A model: two towers for each task on one expert, whose logits are added.


@dataclasses.dataclass(frozen=True)
class TwoTowersShape(ModelShape):
    """The shape of the model, with a field of its own."""

    second_share: float = setting(0.5, "How much the second tower's logit counts.")


class TwoTowers(MultiTaskModel):
    """Two towers for each task on one expert."""

    kind = "two_towers"
    shape_type = TwoTowersShape

    def __init__(self, shape, **kwargs):
        super().__init__(shape, **kwargs)
        tasks = len(shape.tasks)
        self.experts = ExpertBank(1, shape.expert_units, name="experts")
        several = {"logits": shape.task_logits}
        self.first = TowerBank(tasks, shape.tower_units, **several, name="first")
        self.second = TowerBank(tasks, shape.tower_units, **several, name="second")
        self.finish(shared=1, specific=0)

    def encode(self, features, training=None):
        """One expert."""
        x, ids = self.embed(features)
        h = self.experts(x, training=training)
        return Encoded(x, ids, h, h[:0])

    def predict_tasks(self, encoded, training=None):
        """Two towers."""
        copies = [len(self.shape.tasks), 1, 1]
        shared = tf.tile(encoded.shared, copies)
        first, second = (t(shared, training=training) for t in (self.first, self.second))
        return TowerOutputs(first + self.shape.second_share * second)

    def rescale(self, scale, shift):
        """Both towers; the first one takes the shift."""
        self.first.rescale(scale, shift)
        self.second.rescale(scale, np.zeros_like(shift))

    def joint_parameters(self, new_tasks=1):
        """All towers are alike."""
        towers = count_parameters(self.first.weights) + count_parameters(self.second.weights)
        tasks = len(self.shape.tasks)
        rest = self.count_other_parameters([self.first, self.second])
        return rest + towers // tasks * (tasks + new_tasks)


# A head: a line.


@dataclasses.dataclass(frozen=True)
class LineConfig:
    """The shape of the head."""

    l2_line: float = setting(1e-4, "L2 of the line's weights.", low=0.0)


@keras.utils.register_keras_serializable("toys")
class LineHead(Head):
    """A line on the standardised inputs."""

    shape_class = LineConfig

    def __init__(self, config, layout, **kwargs):
        super().__init__(config, layout, **kwargs)
        self.line = keras.layers.Dense(
            self.logits, kernel_regularizer=keras.regularizers.L2(config.l2_line), name="line"
        )
        self.line.build((None, layout.input_width + layout.width))
        self.built = True

    def call(self, inputs, training=None):
        """Returns the logits, [1, B] or more."""
        del training
        x = tf.concat([inputs.standard.x, inputs.standard.shared], axis=1)
        return HeadOutputs(tf.transpose(self.line(x)), {})

    def rescale(self, scale, shift):
        """Scales the line."""
        self.line.kernel.assign(scale * self.line.kernel)
        self.line.bias.assign(scale * self.line.bias + shift)


# A kind of feature: an hour of the day, as a point on a circle.


@dataclasses.dataclass(frozen=True)
class Hour(Feature):
    """An hour, which is near midnight before and after it."""

    section = "hours"
    reads = (NUMBER,)

    hours: float = 24.0

    def problems(self, spec):
        """Yields what is wrong."""
        if self.hours <= 0:
            yield f"{self.name!r}: hours must be above 0, not {self.hours:g}"

    @classmethod
    def columns(cls, features):
        """Sine and cosine of each."""
        return 2 * len(features)

    @classmethod
    def pack(cls, spec, features, columns):
        """Returns sines, then cosines."""
        turns = tf.stack([columns[f.name] * (2 * np.pi / f.hours) for f in features], axis=1)
        return tf.concat([tf.sin(turns), tf.cos(turns)], axis=1)

    @classmethod
    def describe_domain(cls, domain):
        """For the model card."""
        return "an hour of the day"


# A kind of task: a count, by Poisson regression.


@dataclasses.dataclass(frozen=True)
class CountTask(Task):
    """How often something happens: prediction = exp(logit)."""

    kind = "count"
    score_name = "fit"
    output = "rate"

    most: float = 100.0

    def label_of(self, value, missing_values):
        """Returns the count; NaN for a value that is not a count."""
        try:
            number = float(value)
        except ValueError:
            return np.nan
        return number if 0 <= number <= self.most else np.nan

    @classmethod
    def losses(cls, tasks, logits, labels):
        """Returns exp(logit) - label * logit."""
        return tf.exp(logits) - tf.transpose(labels) * logits

    @classmethod
    def predictions(cls, tasks, logits):
        """Returns exp(logit)."""
        return tf.exp(logits)

    def row_scores(self, labels, predictions):
        """Returns the log likelihood without the terms that do not depend on the prediction."""
        return labels * np.log(np.maximum(predictions, 1e-9)) - predictions


# A data set: made up, of four tasks of two kinds.

ROWS = {"train": 1500, "validation": 400, "test": 400}
TASK_NAMES = ("buys", "visits", "returns", "calls")


def make_spec(tasks=TASK_NAMES):
    """Returns the spec of the columns."""
    kinds = {
        "buys": BinaryTask("buys", "buys", ("yes",), ("no",)),
        "returns": BinaryTask("returns", "returns", ("yes",), ("no",), where={"buys": "yes"}),
        "visits": CountTask("visits", "visits"),
        "calls": CountTask("calls", "calls", most=60),
    }
    return DatasetSpec(
        name="toy",
        features=(
            Categorical("city"),
            Numeric("age", "standard"),
            Hour("time of day"),
            Bag("own words", weights=True, most=3),
            ValueSequence("cities", attend_to="city", separator=" "),
            Vector("place", 3),
        ),
        tasks=tuple(kinds[name] for name in tasks),
    )


class Toy:
    """Rows of the data set."""

    def __init__(self, tasks=TASK_NAMES, seed=1):
        self.spec = make_spec(tasks)
        self._seed = seed

    def shards(self, split):
        """One shard."""
        return [split] if split in ROWS else []

    def estimated_rows(self, split):
        """As many as there are."""
        return ROWS[split]

    def read(self, shard):
        """Yields all rows."""
        rows = ROWS[shard]
        random = np.random.default_rng([self._seed, sorted(ROWS).index(shard)])
        city = random.integers(6, size=rows)
        age = random.normal(40, 12, rows).astype(np.float32)
        hour = random.uniform(0, 24, rows).astype(np.float32)
        night = np.cos(2 * np.pi * hour / 24)
        base = 0.4 * (city - 2.5) + (age - 40) / 12
        yes_no = np.array(["no", "yes"], object)
        happens = {
            "buys": yes_no[(base + night + random.logistic(size=rows) > 0).astype(int)],
            "returns": yes_no[(night - base + random.logistic(size=rows) > 0).astype(int)],
            "visits": random.poisson(np.exp(0.5 * night + 0.3 * base)).clip(0, 60),
            "calls": random.poisson(np.exp(0.6 - 0.5 * night)).clip(0, 60),
        }
        columns = {
            "city": np.array([f"city {c}" for c in city], object),
            "age": age,
            "time of day": hour,
            **_make_lists(rows, random),
            **{name: values.astype(str).astype(object) for name, values in happens.items()},
        }
        yield Block(columns, f"toy {shard}", np.arange(1, rows + 1), "row")


def _make_lists(rows, random):
    """Columns with several values in a row, which none of the labels depend on."""

    def draw(make, separator):
        counts = random.integers(5, size=rows)
        texts = [separator.join(make(i) for i in random.integers(6, size=n)) for n in counts]
        return np.array(texts, object)

    places = random.normal(size=(rows, 3)).round(3)
    return {
        "own words": draw(lambda i: f"w{i}:{0.5 + i}", "|"),
        "cities": draw("city_{}".format, " "),
        "place": np.array([" ".join(map(str, of)) for of in places], object),
    }


KINDS = (
    (MODELS, "two_towers", ModelKind(TwoTowers, TwoTowersShape)),
    (HEADS, "line", HeadKind(LineConfig, LineHead, reads=frozenset({"shared"}))),
    (FEATURES, "hours", Hour),
    (TASKS, "count", CountTask),
    (DATASETS, "toy", DataSet("toy", make_spec, Toy, TASK_NAMES)),
)


def register():
    """Registers each by one call."""
    for registry, name, kind in KINDS:
        registry.register(name, kind)


def unregister():
    """Removes them: other tests in this process expect only the project's own kinds."""
    for registry, name, _ in KINDS:
        registry.unregister(name)


if "toys" in os.environ.get(PLUGINS, "").split(","):
    register()
