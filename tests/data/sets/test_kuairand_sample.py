"""A sample of KuaiRand-Pure's shape, from its files to metrics on the random log."""

import json

import numpy as np
import pytest

from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.sets.kuairand import spec
from mptrec_tf.data.sets.kuairand.rows import KuaiRand
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.splits import SPLITS

FILES = [spec.RANDOM, spec.STANDARD_1, spec.STANDARD_2, spec.USERS, spec.VIDEOS]


def write(folder, rows, seed=1):
    folder.mkdir()
    counted = []
    spec.KUAIRAND.write_sample(str(folder), rows, seed, counted.append)
    assert sum(counted) == rows
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Directory of a sample of 3,000 rows."""
    folder = tmp_path_factory.mktemp("kuairand") / "sample"
    write(folder, 3000)
    return str(folder)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    first = write(tmp_path / "a", 300)
    assert sorted(first) == FILES
    assert write(tmp_path / "b", 300) == first
    other = write(tmp_path / "c", 300, seed=2)
    assert all(other[name] != content for name, content in first.items())
    lines = {name: content.count(b"\n") - 1 for name, content in first.items() if "log" in name}
    assert lines == {spec.STANDARD_1: 130, spec.STANDARD_2: 34, spec.RANDOM: 136}


def read(sample, column, splits=SPLITS):
    source = KuaiRand(sample, tuple(spec.TASKS))
    blocks = [block for split in splits for block in read_split(source, split)]
    return np.concatenate([block.text(column) for block in blocks])


def test_no_row_is_lost_and_the_random_log_is_of_all_videos(sample):
    videos = read(sample, "video_id")
    assert len(videos) == 1305 + 339
    rest = read(sample, "video_id", ["random_test"])
    assert 600 < len(rest) < 1356  # ten of its seventeen days
    share = [np.mean([int(video) < 6 for video in of]) for of in (videos, rest)]
    assert share[0] > 2 * share[1]  # of sixty videos
    assert 0.05 < share[1] < 0.16


def test_labels_follow_from_videos_and_obey_their_definitions(sample):
    click, played, duration, seen = (
        read(sample, name).astype(int)
        for name in ("is_click", "play_time_ms", "duration_ms", "long_view")
    )
    np.testing.assert_array_equal(seen, played >= np.minimum(duration, 18_000))
    assert played[click == 0].max() < 1000
    assert not read(sample, "is_like").astype(int)[click == 0].any()
    # The clicks of odd rows tell those of even rows with the same user and tags.
    tags = read(sample, "user_id") + "/" + read(sample, "tag")
    rates = {tag: click[1::2][tags[1::2] == tag].mean() for tag in set(tags[1::2])}
    known = np.array([tag in rates for tag in tags[::2]])
    expected = np.array([rates.get(tag, 0.0) for tag in tags[::2]])[known]
    assert np.corrcoef(expected, click[::2][known])[0, 1] > 0.2  # by chance 0.04


def test_a_sample_is_prepared_and_evaluated_on_the_random_log(
    sample, run_program, tmp_path_factory
):
    from mptrec_tf.artifacts.backbones import load_backbone, save_backbone
    from mptrec_tf.data.prepared import PreparedData
    from mptrec_tf.export.serving_model import export
    from mptrec_tf.models.mptrec import MPTRec
    from mptrec_tf.training.batches import load_rows
    from mptrec_tf.training.configurations import PretrainingConfig
    from mptrec_tf.training.statistics import compute_statistics

    folder = tmp_path_factory.mktemp("prepared")
    tasks = ("click", "play_time", "hate")
    prepare(KuaiRand(sample, tasks), str(folder / "data"))
    data = PreparedData(str(folder / "data"))
    assert {split: of["rows"] for split, of in data.splits.items()} == {
        "train": 1305,
        **{split: len(read(sample, "date", [split])) for split in ("validation", "test")},
    }
    shape = {"expert_units": (8,), "tower_units": (4,)}
    model = MPTRec(PretrainingConfig(tasks, shape=shape).make_shape(data))
    model.set_statistics(compute_statistics(model, load_rows(data, "train", tasks)))
    (folder / "backbone").mkdir()
    save_backbone(str(folder / "backbone"), model, data.spec, data.transform_dir, {"history": []})
    export(load_backbone(str(folder / "backbone")), [], str(folder / "model"))
    output = folder / "metrics.json"
    done = run_program(
        "evaluate",
        f"--model={folder / 'model'}",
        "--dataset=kuairand",
        f"--data_dir={sample}",
        "--split=random_test",
        f"--output={output}",
    )
    assert "on the random_test rows of kuairand" in " ".join(done.stdout.split())
    metrics = json.loads(output.read_text())
    assert metrics["split"] == "random_test"
    clicks = read(sample, "is_click", ["random_test"])
    rows = {task: of["rows"] for task, of in metrics["tasks"].items()}
    assert rows == {"click": len(clicks), "play_time": sum(clicks == "1"), "hate": len(clicks)}
