"""Compiles a pipeline for Kubeflow Pipelines (V2)."""

import os
import tempfile

from tfx.orchestration.pipeline import Pipeline
from tfx.v1.components import InfraValidator

from mptrec_tf.errors import InputError
from mptrec_tf.storage.directories import write_file


def compile_pipeline(pipeline: Pipeline, image: str, output: str) -> None:
    """Writes a pipeline in Kubeflow's format; the file appears complete or not at all.

    Args:
      pipeline: A TFX pipeline.
      image: Container image of the components.
      output: Path of the file: a PipelineJob if it ends in .json, the PipelineSpec alone if it
        ends in .yaml.

    Raises:
      InputError: for a component that Kubeflow's compiler does not support, another ending, or a
        file that cannot be written.

    Example:
      compile_pipeline(pretrain.create_pipeline(config), "registry/image:1", "pretrain.json")
    """
    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as kubeflow  # kfp is slow

    name = os.path.basename(output)
    if not name.endswith((".json", ".yaml")):
        raise InputError(f"{output} ends neither in .json (a job) nor in .yaml (its spec alone).")
    if any(isinstance(component, InfraValidator) for component in pipeline.components):
        raise InputError(
            "Kubeflow's compiler does not support InfraValidator; compile the pipeline without "
            "--docker: the candidate is then checked in a fresh process."
        )
    with tempfile.TemporaryDirectory() as directory:
        # TFX's entry point imports TensorFlow before this package can select its Keras.
        command = ["env", "TF_USE_LEGACY_KERAS=1", *kubeflow.KUBEFLOW_TFX_CMD]
        runner = kubeflow.KubeflowV2DagRunner(
            kubeflow.KubeflowV2DagRunnerConfig(default_image=image, default_commands=command),
            output_dir=directory,
            output_filename=name,
        )
        runner.run(pipeline)
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            written = file.read()
    write_file(output, written)
