"""What `beam_caches` remembers is what Beam finds."""

import apache_beam as beam
import beam_caches
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec


class Plain(beam.DoFn):
    def process(self, element, window=beam.DoFn.WindowParam, *, by=3):
        yield element


LAST = beam.DoFn.StateParam(ReadModifyWriteStateSpec("last", VarIntCoder()))


class Stateful(beam.DoFn):
    def process(self, element, last=LAST):
        yield element


class Inspected:
    """An object whose signature is asked for."""

    @classmethod
    def of_class(cls, a, b=1):
        """Has a class."""


def test_this_release_has_all_functions_that_are_replaced():
    assert set(beam_caches.BEAMS_OWN) == {
        "get_function_args_defaults",
        "__init__",
        "get_dofn_specs",
        "get_deep_size",
    }


@pytest.mark.parametrize(
    "function", [Plain().process, Plain.process, Inspected.of_class, len, print]
)
def test_signatures(function):
    own = beam_caches.BEAMS_OWN["get_function_args_defaults"]
    inspect = beam_caches._inspect_once(own)
    for _ in range(2):
        args, defaults = inspect(function)
        assert (args, defaults) == tuple(map(list, own(function)))
        args.append("changed")  # which the next call does not see


def test_states():
    find = beam_caches._find_states_once(beam_caches.BEAMS_OWN["get_dofn_specs"])
    for _ in range(2):
        assert find(Plain()) == (set(), set())
        assert find(beam.ParDo(lambda x: [x]).fn) == (set(), set())
        [state], timers = find(Stateful())
        assert (state.name, timers) == ("last", set())


def test_flags():
    for flags in (["--runner=DirectRunner", "--direct_num_workers=3"], ["--runner=Spark"]) * 2:
        options = PipelineOptions(flags)
        runner = flags[0].partition("=")[2]
        assert options.view_as(StandardOptions).runner == runner
        options.view_as(StandardOptions).runner = "changed"
        assert PipelineOptions(flags).view_as(StandardOptions).runner == runner
        assert PipelineOptions(flags)._flags == flags
