"""What a new backbone is compared with."""

import dataclasses
import json
from dataclasses import replace

import pytest

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.registry import TASKS
from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import CARD
from pipelines import production

SPEC = DatasetSpec(
    "shop",
    (Categorical("device"), Numeric("price")),
    (BinaryTask("buy", "bought", ("yes",)), BinaryTask("stay", "seconds", above=30)),
)


@pytest.fixture
def serve(tmp_path):
    """Puts a model of a spec into production, as the pusher does; returns the serving directory."""

    def serve(spec, number=1, pushed=True):
        version = tmp_path / "models" / str(number)
        (version / CARD).parent.mkdir(parents=True)
        (version / "saved_model.pb").touch()
        (version / CARD).write_text(json.dumps({"spec": json.loads(spec.to_json())}))
        model = tmp_path / "root" / str(number)
        (model / "Format-Serving").mkdir(parents=True)
        if pushed:
            content = json.dumps({"model": str(model)})
            (version / "assets.extra" / "pushed.json").write_text(content)
        return str(version.parent)

    return serve


def test_the_first_run_has_nothing_to_compare_with(tmp_path):
    assert production.find_baseline(str(tmp_path), SPEC, ("buy",)) is None
    assert production.find_baseline(str(tmp_path / "none"), SPEC, ("buy",)) is None


def test_the_newest_version_is_compared_on_the_tasks_that_both_have(serve, tmp_path):
    serve(SPEC, 1)
    served = replace(SPEC, tasks=(*SPEC.tasks[:1], BinaryTask("sell", "sold", ("yes",))))
    baseline = production.find_baseline(serve(served, 2), SPEC, ("stay", "buy"))
    assert baseline.model == str(tmp_path / "root" / "2")
    assert baseline.tasks == ("buy",)
    assert baseline.not_compared == {
        "stay": "production does not predict it",
        "sell": "the new backbone does not predict it",
    }


def test_a_task_whose_label_has_another_rule_is_not_compared(serve):
    longer = replace(SPEC.tasks[1], above=60.0)
    # A truth that only simulated data have makes no other rule.
    known = replace(SPEC.tasks[0], known_probability="truth")
    baseline = production.find_baseline(
        serve(replace(SPEC, tasks=(known, longer))), SPEC, ("buy", "stay")
    )
    assert baseline.tasks == ("buy",)
    assert baseline.not_compared == {"stay": "production was trained on labels by another rule"}


def test_a_task_of_another_kind_than_binary_is_compared(serve):
    """No field of such a kind need be called known_probability."""

    @dataclasses.dataclass(frozen=True)
    class SumTask(Task):
        kind = "sum"
        score_name = "fit"

        unit: str = "EUR"

        def label_of(self, value, missing_values):
            return float(value)

        @classmethod
        def losses(cls, tasks, logits, labels):
            return logits

        @classmethod
        def predictions(cls, tasks, logits):
            return logits

    TASKS.register("sum", SumTask)
    try:
        spec = replace(SPEC, tasks=(SumTask("spent", "spent"), SumTask("saved", "saved")))
        base = serve(replace(spec, tasks=(spec.tasks[0], SumTask("saved", "saved", "USD"))))
        baseline = production.find_baseline(base, spec, ("spent", "saved"))
    finally:
        TASKS.unregister("sum")
    assert baseline.tasks == ("spent",)
    assert baseline.not_compared == {"saved": "production was trained on labels by another rule"}


@pytest.mark.parametrize(
    ("features", "compared"),
    [
        # One more is no hindrance.
        ((Categorical("device"), Numeric("price"), Numeric("size")), ("buy",)),
        ((Numeric("price"),), ()),
        ((Categorical("price"), Numeric("device")), ()),
    ],
)
def test_production_is_compared_where_rows_have_what_it_reads(serve, features, compared):
    baseline = production.find_baseline(serve(SPEC), replace(SPEC, features=features), ("buy",))
    assert baseline.tasks == compared
    reason = baseline.not_compared.get("buy", "")
    assert bool(compared) != ("device" in reason and "which these rows do not have" in reason)


def test_a_production_model_that_cannot_be_compared_is_rejected(serve, tmp_path):
    base = serve(SPEC)
    (tmp_path / "root" / "1" / "Format-Serving").rmdir()
    with pytest.raises(InputError, match=r"/1 in production is a copy of .*/root/1, which is gone"):
        production.find_baseline(base, SPEC, ("buy",))
    base = serve(SPEC, 2, pushed=False)
    with pytest.raises(InputError, match=r"/2 was not pushed by a pipeline"):
        production.find_baseline(base, SPEC, ("buy",))
    serve(SPEC, 3)
    (tmp_path / "models" / "3" / CARD).write_text("{}")
    with pytest.raises(InputError, match="does not list what the model in production reads"):
        production.find_baseline(base, SPEC, ("buy",))
