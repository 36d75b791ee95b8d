"""The lineage of a pushed model as a tree, for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.tree import Tree


def make_tree(lineage: Mapping[str, Any]) -> Tree:
    """Returns a lineage as a `rich.tree.Tree`.

    Args:
      lineage: What `pipelines.lineage.trace_model` returned.
    """
    if "trainings" not in lineage:
        root = Tree(f"{lineage['version']}   pushed by mptrec-refresh")
        _add_generations(root, lineage["generations"])
        return root
    versions = ", ".join(f"{name} {version}" for name, version in lineage["versions"].items())
    root = Tree(f"{lineage['version']}   pushed {_format_run(lineage['push'])}")
    root.add(f"model {lineage['model']}   {versions}")
    root.add(f"backbone {lineage['backbone']['fingerprint']}")
    for training in lineage["trainings"]:
        what = "added" if training["package"] else "pre-trained"
        node = root.add(f"{', '.join(training['tasks'])}: {what} by {_format_run(training['run'])}")
        scores = "; ".join(
            f"{name} {_format_scores(values)}"
            for name, values in training["validation_scores"].items()
        )
        node.add(f"best epoch {training['best_epoch']}: validation {scores}")
        if training["package"]:
            node.add(f"task package {training['package']}")
        if training["renews"]:
            node.add(f"renews the backbone of {training['renews']}")
        data = training["data"]
        rows = ", ".join(f"{split} {count:,}" for split, count in data["rows"].items())
        under = node.add(f"data {data['data_set']}: {rows} rows   {data['uri']}")
        under.add(f"fingerprint {data['rows_fingerprint']}")
        for split, labels in data["labels"].items():
            for what in dict.fromkeys(key for of in labels.values() for key in of):
                counts = {task: of[what] for task, of in labels.items() if what in of}
                text = ", ".join(
                    f"{task} {count:,.6g}" if isinstance(count, float) else f"{task} {count:,}"
                    for task, count in counts.items()
                )
                under.add(f"{split} {what}: {text}")
        for key, value in training["inputs"].items():
            node.add(f"{key} {value['uri']}").add(f"SHA-256 {value['sha256']}")
        node.add(f"tfx {training['tfx']}")
        for evaluation in training["evaluations"]:
            under = node.add(f"evaluated by {_format_run(evaluation['run'])}")
            for model, values in evaluation["scores"].items():
                under.add(f"{model}: {_format_scores(values)}")
        for blessing in training["blessings"]:
            verdict = "blessed" if blessing["blessed"] else "not blessed"
            node.add(f"{verdict} by {blessing['by']}, {_format_run(blessing['run'])}")
    _add_generations(root, lineage["generations"])
    return root


def _add_generations(root: Tree, generations: Sequence[Mapping[str, Any]]) -> None:
    """Adds the generations of a backbone to a tree; nothing where there is only one."""
    if len(generations) < 2 and not any(of["renews"] for of in generations):
        return
    node = root.add("generations of the backbone")
    for of in generations:
        numbers = ", ".join(str(version["version"]) for version in of["versions"])
        under = node.add(f"{of['backbone']}: versions {numbers}; {', '.join(of['tasks'])}")
        if of["renews"]:
            under.add(f"renews version {of['renews']}")
        for what in ("retired", "accepted"):
            if of[what]:
                under.add(f"{what}: {', '.join(of[what])}")


def _format_scores(values: Mapping[str, float | None]) -> str:
    """Formats scores by task; a task whose labels are all the same may have none."""
    known = {name: value for name, value in values.items() if value is not None}
    return ", ".join(f"{k} {known[k]:.4f}" if k in known else f"{k} -" for k in values)


def _format_run(run: Mapping[str, Any]) -> str:
    return f"{run['pipeline']} (run {run['run']}), {run['began']}, {run['seconds']:.0f} s"
