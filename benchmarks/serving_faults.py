"""Faults that mptrec-serve must survive.

    python benchmarks/serving_faults.py

Makes a small, untrained model of the synthetic data, and then:

1. While 32 callers send requests without a pause, half of them over gRPC and half over REST, five
   versions are swapped in, a task is added, one is removed, a broken version is pushed, and a
   version is deleted. No request may fail, and each response is compared with the predictions of
   the version that it names.
2. Sends 10,000 malformed requests, and a good one over both protocols after each hundred. Each
   malformed one gets an error of the right kind, or a prediction where the mutation is harmless.
"""

import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from mptrec_tf.bin import program
from mptrec_tf.errors import InputError

_CALLERS = flags.DEFINE_integer("callers", 32, "Callers at a time.", 1)
_SWAPS = flags.DEFINE_integer("swaps", 5, "Versions of the same tasks that are swapped in.", 1)
_ANSWERS = flags.DEFINE_integer("answers", 1000, "Responses to wait for after each change.", 1)
_MUTATED = flags.DEFINE_integer("mutated", 10_000, "Malformed requests.", 0)
_SEED = flags.DEFINE_integer("seed", 1, "Chooses the malformed requests.")


def main(_) -> None:
    """Runs the benchmark.

    Raises:
      InputError: if a request failed or got a wrong response.
    """
    from mptrec_tf.data.sets.synthetic.rows import Synthetic
    from mptrec_tf.data.sources.block import read_split
    from mptrec_tf.evaluation.report import print_table
    from mptrec_tf.serving.testing.fuzzing import fuzz
    from mptrec_tf.serving.testing.load import Load, change_under_load, prepare_versions
    from mptrec_tf.serving.testing.local_server import LocalServer
    from mptrec_tf.serving.testing.mutation import MAX_BYTES

    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        [block] = read_split(Synthetic({"test": 20}), "test")
        prepared = prepare_versions(_make_backbone(root), root / "prepared", block, _SWAPS.value)
        names = _read_raw_columns(root / "prepared" / "1")
        columns = {name: block.columns[name] for name in names}

        base = root / "m"
        base.mkdir()
        prepared.push(base, 1)
        with LocalServer(base, root) as server:
            load = Load(server, columns, prepared.expected)
            with load.running(_CALLERS.value):
                table = change_under_load(server, load, prepared, _ANSWERS.value)
            rejected = server.read_metric(':tensorflow:serving:request_count{(?!.*status="OK")')
        print_table(table, f"Changes under load of {_CALLERS.value} callers")
        print_table(
            load.make_table(prepared.names),
            f"{load.count_correct()} correct responses by version, {len(load.problems)} requests "
            f"failed or got a wrong response; {rejected:.0f} rejected by the server",
        )
        problems += load.problems

        limits = (f"--max_request_bytes={MAX_BYTES}", "--rest_api_timeout_in_ms=4000")
        with LocalServer(base, root, *limits) as server:
            version = max(n for n in prepared.expected if (base / str(n)).exists())
            start = time.monotonic()
            result = fuzz(server, columns, prepared.expected[version], _MUTATED.value, _SEED.value)
        print_table(
            result.make_table(),
            f"{_MUTATED.value} malformed requests and {result.good} good ones in "
            f"{time.monotonic() - start:.0f} s, {len(result.problems)} wrong",
        )
        problems += result.problems
    for problem in problems[:50]:
        print(problem, file=sys.stderr)
    if problems:
        raise InputError(f"{len(problems)} requests failed or got a wrong response.")


def _make_backbone(root: Path) -> str:
    """Returns the directory of a small, untrained backbone."""
    from mptrec_tf.artifacts.backbones import save_backbone
    from mptrec_tf.data.prepare import prepare
    from mptrec_tf.data.prepared import PreparedData
    from mptrec_tf.data.sets.synthetic.rows import Synthetic
    from mptrec_tf.keras import keras
    from mptrec_tf.models.mptrec import MPTRec
    from mptrec_tf.training.configurations import PretrainingConfig

    prepare(Synthetic({"train": 1500, "validation": 400, "test": 400}), str(root / "data"))
    data = PreparedData(str(root / "data"))
    keras.utils.set_random_seed(1)
    shape = {"expert_units": (12, 8), "tower_units": (4,)}
    model = MPTRec(PretrainingConfig(("click", "like"), shape=shape).make_shape(data))
    folder = root / "backbone"
    folder.mkdir()
    save_backbone(str(folder), model, data.spec, data.transform_dir, {})
    return str(folder)


def _read_raw_columns(path: Path) -> list[str]:
    from mptrec_tf.inference.saved_model import LoadedModel

    return list(LoadedModel(str(path)).column_types)


if __name__ == "__main__":
    program.run(main)
