"""Steps of all kinds on two workers: what each of them gets, and what is said when one fails."""

import os
import signal
import sys

import apache_beam as beam
import pytest
from apache_beam.internal.cloudpickle import cloudpickle
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import userstate, window
from apache_beam.utils.windowed_value import WindowedValue

from mptrec_tf.data.runners import check_beam_args, raise_user_errors
from mptrec_tf.errors import InputError

OTHERS = "odd"
# Workers cannot import tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Sort(beam.DoFn):
    """Emits even numbers, and odd ones as another output."""

    def process(self, element):
        yield beam.pvalue.TaggedOutput(OTHERS, element) if element % 2 else element


class SumOfBundle(beam.DoFn):
    """Emits the sum of a bundle when it ends."""

    def start_bundle(self):
        self._sum = 0

    def process(self, element):
        self._sum += element

    def finish_bundle(self):
        yield WindowedValue(self._sum, 0, [window.GlobalWindow()])


SEEN = beam.DoFn.StateParam(userstate.BagStateSpec("seen", beam.coders.VarIntCoder()))


class Remember(beam.DoFn):
    """A step with state."""

    def process(self, element, state=SEEN):
        state.add(element[1])
        yield element


def write_line(element, folder, name):
    """Adds an element to a file of this worker."""
    with open(f"{folder}/{name}-{os.getpid()}", "a") as file:
        file.write(f"{element!r}\n")


@pytest.fixture
def run(cluster, tmp_path):
    """Runs a function that makes steps on the cluster.

    Returns what they wrote, by output, from all workers, in order.
    """

    def run(make):
        written = {}

        def write(elements, name):
            written[name] = []
            _ = elements | f"Write {name}" >> beam.Map(write_line, str(tmp_path), name)

        with beam.Pipeline(options=PipelineOptions(cluster.flags)) as pipeline:
            make(pipeline, write)
        for path in sorted(tmp_path.glob("*-*")):
            lines = path.read_text().splitlines()
            written[path.name.partition("-")[0]] += [eval(line) for line in lines]
        return {name: sorted(of) for name, of in written.items()}

    return run


def test_every_output_has_its_own_elements(run):
    def make(pipeline, write):
        numbers = pipeline | beam.Create(range(6))
        sorted_numbers = numbers | beam.ParDo(Sort()).with_outputs(OTHERS, main="even")
        write(sorted_numbers.even, "even")
        write(sorted_numbers[OTHERS], "odd")
        write(numbers | beam.Map(lambda n: 10 * n), "tens")

    assert run(make) == {
        "even": [0, 2, 4],
        "odd": [1, 3, 5],
        "tens": [0, 10, 20, 30, 40, 50],
    }


def test_what_the_end_of_a_bundle_emits_is_kept(run):
    def make(pipeline, write):
        sums = pipeline | beam.Create(range(100)) | beam.Reshuffle() | beam.ParDo(SumOfBundle())
        write(sums, "parts")
        write(sums | beam.CombineGlobally(sum), "whole")

    written = run(make)
    assert len(written["parts"]) > 1  # the elements were spread
    assert written["whole"] == [99 * 100 // 2] == [sum(written["parts"])]


def test_values_meet_by_key(run):
    def make(pipeline, write):
        some = pipeline | "Some" >> beam.Create([("a", 1), ("b", 2), ("a", 3)])
        others = pipeline | "Others" >> beam.Create([("b", 4), ("c", 5)])
        both = (some, others) | beam.Flatten() | "Spread" >> beam.Reshuffle()
        write(both | beam.CombinePerKey(sum), "sums")
        write(both | beam.GroupByKey() | beam.MapTuple(lambda k, v: (k, sorted(v))), "groups")
        write(((some, others) | beam.CoGroupByKey()) | beam.MapTuple(_sort_values), "joined")

    assert run(make) == {
        "sums": [("a", 4), ("b", 6), ("c", 5)],
        "groups": [("a", [1, 3]), ("b", [2, 4]), ("c", [5])],
        "joined": [("a", [1, 3], []), ("b", [2], [4]), ("c", [], [5])],
    }


def _sort_values(key, values):
    some, others = values
    return key, sorted(some), sorted(others)


def test_side_inputs_are_whole(run):
    def make(pipeline, write):
        table = pipeline | "Table" >> beam.Create([("k", 1), ("l", 2)]) | beam.Reshuffle()
        one = pipeline | "One" >> beam.Create([7])
        none = pipeline | "None" >> beam.Create([]) | beam.Map(int)
        looked_up = pipeline | "Rows" >> beam.Create([1, 2]) | "Spread" >> beam.Reshuffle()
        looked_up |= beam.Map(
            lambda n, d, s, i: (n, sorted(d.items()), s, list(i)),
            beam.pvalue.AsDict(table),
            beam.pvalue.AsSingleton(one),
            beam.pvalue.AsIter(none),
        )
        write(looked_up, "rows")

    items = [("k", 1), ("l", 2)]
    assert run(make) == {"rows": [(1, items, 7, []), (2, items, 7, [])]}


def test_windows_stay_apart(run):
    def make(pipeline, write):
        timed = pipeline | beam.Create([1, 2, 11, 12, 21])
        timed |= beam.Map(lambda second: window.TimestampedValue(("k", second), second))
        timed |= beam.WindowInto(window.FixedWindows(10))
        write(timed | beam.CombinePerKey(sum), "sums")

    assert run(make) == {"sums": [("k", 3), ("k", 21), ("k", 23)]}


def test_files_of_beams_own_sinks_and_readers(run, tmp_path_factory):
    records = [f"record {i}".encode() for i in range(9)]
    folder = tmp_path_factory.mktemp("records")

    def write_records(pipeline, write):
        spread = pipeline | beam.Create(records) | beam.Reshuffle()
        _ = spread | beam.io.WriteToTFRecord(f"{folder}/some")

    def read_records(pipeline, write):
        write(pipeline | beam.io.ReadFromTFRecord(f"{folder}/some*"), "read")

    run(write_records)
    files = os.listdir(folder)
    assert len(files) > 1  # each worker wrote some
    assert all(name.startswith("some-") for name in files)
    assert run(read_records) == {"read": records}


def test_counters_are_added(cluster):
    def count(element):
        beam.metrics.Metrics.counter("rows", "seen").inc()
        return element

    pipeline = beam.Pipeline(options=PipelineOptions(cluster.flags))
    _ = pipeline | beam.Create(range(20)) | beam.Reshuffle() | beam.Map(count)
    result = pipeline.run()
    assert result.wait_until_finish() == "DONE"
    assert [of.committed for of in result.metrics().query()["counters"]] == [20]


def run_step(cluster, function, *before):
    with raise_user_errors(), beam.Pipeline(options=PipelineOptions(cluster.flags)) as pipeline:
        elements = pipeline | beam.Create([("k", 1)])
        for step in before:
            elements |= step
        _ = elements | "Step" >> beam.Map(function)


def test_a_rejected_row_is_a_sentence(cluster):
    def reject(element):
        raise InputError(f"{element} is no row.")

    with pytest.raises(InputError) as caught:
        run_step(cluster, reject)
    assert str(caught.value) == "('k', 1) is no row."


def test_a_bundle_that_ends_its_workers_ends_the_run(cluster):
    with pytest.raises(InputError, match=r"each of 2 workers ended while it ran .*Step"):
        run_step(cluster, lambda _: os.kill(os.getpid(), signal.SIGKILL))
    cluster.client.wait_for_workers(2, timeout=60)


def test_state_is_rejected_before_anything_runs(cluster):
    with pytest.raises(InputError, match="the Dask runner has no state"):
        run_step(cluster, lambda _: None, beam.ParDo(Remember()))


def test_a_cluster_without_workers(start_cluster, monkeypatch):
    from mptrec_tf.data.dask import runner

    monkeypatch.setattr(runner, "_PATIENCE", 1)
    with pytest.raises(InputError, match="has had no worker for 1 seconds: start workers"):
        run_step(start_cluster(0), print)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--dask_client_address=tcp://127.0.0.1:1", "--dask_connection_timeout=1"],
            r"there is no Dask scheduler at tcp://127\.0\.0\.1:1",
        ),
        (
            ["--dask_scheduler_file=missing.json"],
            r"no Dask scheduler at missing\.json: .*No such file",
        ),
        (["--dask_partition_size=2"], "give --dask_npartitions"),
    ],
)
def test_no_cluster_at_all(cluster, flags, message):
    options = PipelineOptions([cluster.flags[0], *flags])
    with pytest.raises(InputError, match=message), beam.Pipeline(options=options) as pipeline:
        _ = pipeline | beam.Create([1])


@pytest.mark.parametrize("name", ["DaskRunner", "apache_beam.runners.dask.dask_runner.DaskRunner"])
def test_beams_own_runner_is_rejected(name):
    with pytest.raises(InputError, match=r"give --runner=mptrec_tf\.data\.dask\.runner\.DaskRun"):
        check_beam_args([f"--runner={name}"])


def test_a_mistyped_flag_is_rejected(cluster):
    with pytest.raises(InputError, match="unknown flag --dask_client_adress"):
        check_beam_args([*cluster.flags, "--dask_client_adress=tcp://127.0.0.1:8786"])
