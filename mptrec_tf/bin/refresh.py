r"""Renews a model in production: a new backbone on new rows, and every added task on it.

    mptrec-refresh --model=saved_models/shop --train_files='march/*.csv' \
        --validation_files=april-01.csv --test_files=april-02.csv --output_dir=REFRESH
    mptrec-refresh --model=saved_models/shop --files='rows/*.csv' --split_by=time:seen_at \
        --output_dir=REFRESH

Features, tasks, label rules and settings are those of the newest version. The new backbone begins
with the old one's weights; each added task is trained anew with the kind of head that it has. The
candidate is compared with production on the test rows, task by task, and becomes the next version
of the model if no task is worse; otherwise nothing is pushed and the exit status is not 0. Old
versions stay. To continue a renewal that was killed, start it again with the same flags.
"""

from absl import flags

from mptrec_tf.bin import data_flags, format_flags, gate_flags, memory_flag, program, split_flags
from mptrec_tf.errors import InputError
from mptrec_tf.models.heads.registry import AUTO, HEADS
from mptrec_tf.training.configurations import LARGEST_SEED

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "The model in production: TF Serving's base path, as --output_dir of mptrec-export.",
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Directory of the renewal.")
_FILES = {split: data_flags.define_files_flag(split) for split in ("train", "validation", "test")}
_ALL_FILES = flags.DEFINE_list(
    "files", [], "Your own rows of all splits, instead of files for each: --split divides them."
)
_SPLIT, _SPLIT_BY = split_flags.define_split_flags()
_PROMOTE = flags.DEFINE_list("promote", [], "Added tasks that the new backbone is pre-trained on.")
_RETIRE = flags.DEFINE_list("retire", [], "Tasks that the new version leaves out.")
_HEAD = flags.DEFINE_enum(
    "head",
    None,
    [AUTO, *HEADS.names()],
    "The kind of head of all added tasks. Default: the one that each has.",
)
_FROM_SCRATCH = flags.DEFINE_bool(
    "from_scratch", False, "Begin with fresh weights instead of the old backbone's."
)
_SEED = flags.DEFINE_integer(
    "seed",
    None,
    "Seed of all trainings. Default: the seeds that they had.",
    lower_bound=0,
    upper_bound=LARGEST_SEED,
)
_SIGN_KEY = flags.DEFINE_string(
    "sign_key",
    None,
    "Sign what is pushed with this private key (PEM, Ed25519), by which production must be signed.",
)
_PUSH = flags.DEFINE_bool("push", True, "Push the candidate; otherwise it is only compared.")
flags.mark_flags_as_required(["model", "output_dir"])
flags.adopt_module_key_flags(format_flags)
flags.adopt_module_key_flags(gate_flags)
flags.adopt_module_key_flags(memory_flag)
for _flag in (data_flags.DATASET, *data_flags.OPTIONS.values()):
    flags.declare_key_flag(_flag.name)


def main(beam_args: list[str]) -> None:
    """Runs the program.

    Raises:
      InputError: if a task is worse, so that nothing is pushed.
    """
    from mptrec_tf.export.signing import read_private_key
    from mptrec_tf.renewal.plan import check_names, check_not_pushed, make_plan

    key = read_private_key(_SIGN_KEY.value) if _SIGN_KEY.value else None
    patterns = {split: flag.value for split, flag in _FILES.items()}
    rule = split_flags.read_rule(
        _SPLIT, _SPLIT_BY, {**patterns, split_flags.FILES: _ALL_FILES.value}
    )
    if rule:
        patterns = {split_flags.FILES: _ALL_FILES.value}
    directory = _OUTPUT_DIR.value.rstrip("/")
    check_not_pushed(_MODEL.value, directory)
    plan = make_plan(
        _MODEL.value,
        promote=_PROMOTE.value,
        retire=_RETIRE.value,
        head=_HEAD.value,
        seed=_SEED.value,
        public_key=key.public_key() if key is not None else None,
    )
    spec = data_flags.read_spec_of(plan.spec, patterns, f"the model in {plan.version}")
    accepted = gate_flags.ACCEPT.value
    check_names("accept", accepted, spec.task_names)

    # Imports that take seconds come after the checks of the flags.
    from mptrec_tf.data.runners import check_beam_args
    from mptrec_tf.evaluation.gate import list_blocked_tasks, list_blocking
    from mptrec_tf.evaluation.report import print_table
    from mptrec_tf.renewal.refresh import push, refresh

    check_beam_args(beam_args)
    source = data_flags.open_source_of(spec, patterns, rule)
    gate = gate_flags.make_gate()
    verdicts = refresh(
        plan,
        source,
        directory,
        warm=not _FROM_SCRATCH.value,
        gate=gate,
        beam_args=beam_args,
        memory_limit=memory_flag.read_memory_limit(),
    )
    program.print_empty(source)
    print_table(
        [
            of.to_row() | {"accepted": "yes" if of.blocks and of.task in accepted else ""}
            for of in verdicts
        ],
        f"{_OUTPUT_DIR.value} beside {plan.version}, on the test rows",
    )
    if plan.retired:
        print(f"retired: {', '.join(plan.retired)}")
    blocking = list_blocking(verdicts, accepted)
    if blocking:
        reasons = "; ".join(of.explain(gate) for of in blocking)
        raise InputError(
            f"nothing is pushed, and production is as it was: {reasons}. To push all the same: "
            f"--accept={list_blocked_tasks(blocking)}."
        )
    if _PUSH.value:
        path = push(plan, directory, verdicts, accepted, key)
        print(f"pushed as {path}; back to the old version: give {plan.version} its label")


def run() -> None:
    """Entry point."""
    program.run(main, pass_on_unknown_flags=True)


if __name__ == "__main__":
    run()
