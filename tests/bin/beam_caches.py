"""Once imported, lets Beam look up only once what does not change: a third of a small pipeline.

For each step Beam inspects the signatures of a dozen methods, many times, builds parsers of flags,
hundreds of times, and measures what it caches by walking through all modules. Another release may
have none of these functions, and then takes its time.
"""

import copy
import sys

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import statecache
from apache_beam.transforms import core, userstate


def _inspect_once(inspect):
    inspected = {}

    def get_function_args_defaults(function):
        # Methods of all instances have one signature; those of a class hold the class.
        key = getattr(function, "__func__", function), hasattr(function, "__self__")
        try:
            if key not in inspected:
                inspected[key] = inspect(function)
        except TypeError:  # not hashable
            return inspect(function)
        args, defaults = inspected[key]
        return list(args), list(defaults)

    return get_function_args_defaults


def _parse_once(parse):
    parsed = {}

    def init(self, flags=None, **overrides):
        if overrides or not isinstance(flags, list):
            parse(self, flags, **overrides)
            return
        key = type(self), tuple(flags)
        if key not in parsed:
            parse(self, flags)
            parsed[key] = copy.deepcopy({k: v for k, v in vars(self).items() if k != "_flags"})
            return
        vars(self).update(copy.deepcopy(parsed[key]))
        vars(self)["_flags"] = flags

    return init


def _find_states_once(find):
    without = set()

    def get_dofn_specs(dofn):
        # Methods are looked at; a plain function that an instance has for one is not.
        key = type(dofn), type(vars(dofn).get("process"))
        if key in without:
            return set(), set()
        specs = find(dofn)
        if not any(specs):
            without.add(key)
        return specs

    return get_dofn_specs


def _measure_objects_alone(measure):
    return lambda *values: sum(map(sys.getsizeof, values))


# What was replaced, by name.
BEAMS_OWN = {}
for owner, name, change in (
    (core, "get_function_args_defaults", _inspect_once),
    (PipelineOptions, "__init__", _parse_once),
    (userstate, "get_dofn_specs", _find_states_once),
    (statecache, "get_deep_size", _measure_objects_alone),
):
    if hasattr(owner, name):
        BEAMS_OWN[name] = getattr(owner, name)
        setattr(owner, name, change(BEAMS_OWN[name]))
