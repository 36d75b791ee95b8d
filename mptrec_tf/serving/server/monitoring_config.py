"""Where metrics are, by TF Serving's monitoring_config_file."""

from mptrec_tf.errors import InputError
from mptrec_tf.serving.server.model_config import read_text_proto
from mptrec_tf.serving.server.rebuilt_protos import rebuilt

METRICS_PATH = "/monitoring/prometheus/metrics"  # TF Serving's, unless its file says otherwise


def read_metrics_path(path: str) -> str | None:
    """Reads a monitoring_config_file; returns the metrics' path on the REST port, None for none.

    Raises:
      InputError: if it is none.
    """
    fields = {"prometheus_config": {"enable": "bool", "path": "string"}}
    config = read_text_proto(path, rebuilt("MonitoringConfig", fields)).prometheus_config
    if not config.enable:
        return None
    found = config.path or METRICS_PATH
    if not found.startswith("/") or set(found) & set("{}?#"):
        raise InputError(
            f"{path}: prometheus_config's path should be a plain one that begins with /, received "
            f"{found!r}."
        )
    return found
