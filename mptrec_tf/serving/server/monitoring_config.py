"""The path of the metrics, from TF Serving's monitoring_config_file."""

from mptrec_tf.errors import InputError
from mptrec_tf.serving.server.model_config import read_text_proto
from mptrec_tf.serving.server.options import METRICS_PATH
from mptrec_tf.serving.server.rebuilt_protos import build_message


def read_metrics_path(path: str) -> str | None:
    """Reads a monitoring_config_file; returns the metrics' path on the REST port, None for none.

    Raises:
      InputError: if the file is invalid.
    """
    fields = {"prometheus_config": {"enable": "bool", "path": "string"}}
    config = read_text_proto(path, build_message("MonitoringConfig", fields)).prometheus_config
    if not config.enable:
        return None
    metrics_path = config.path or METRICS_PATH
    if not metrics_path.startswith("/") or set(metrics_path) & set("{}?#"):
        raise InputError(
            f"{path}: prometheus_config's path should be a plain one that begins with /, received "
            f"{metrics_path!r}."
        )
    return metrics_path
