"""Reports that components write: one JSON for programs, one HTML for people."""

import html
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import tensorflow as tf
from tfx.types.artifact import Artifact

from mptrec_tf.evaluation.report import to_json
from mptrec_tf.storage.directories import write_file

_JSON, _HTML = "report.json", "report.html"
_STYLE = """
body { font-family: sans-serif; margin: 2em; }
table { border-collapse: collapse; margin-bottom: 2em; }
td, th { border: 1px solid #ccc; padding: 0.3em 0.8em; text-align: right; }
th { background: #eee; }
"""


class Report(Artifact):
    """A component's report: report.json and report.html."""

    TYPE_NAME = "mptrec.Report"  # with a namespace, which Kubeflow Pipelines requires


def write_report(
    uri: str,
    title: str,
    content: Mapping[str, Any],
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Writes a report.

    Args:
      uri: Where to write it.
      title: Heading of the HTML.
      content: Of the JSON.
      tables: Rows by heading, for the HTML.
    """
    tf.io.gfile.makedirs(uri)
    write_file(os.path.join(uri, _JSON), to_json(content))
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for heading, rows in tables.items():
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        frame = pd.DataFrame(list(rows))
        # Nine digits distinguish any two float32.
        parts.append(frame.to_html(index=False, float_format="{:.9g}".format))
    page = f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title>'
    write_file(os.path.join(uri, _HTML), f"{page}<style>{_STYLE}</style>" + "\n".join(parts))


def read_report(uri: str) -> dict[str, Any]:
    """Returns the content of a report's JSON."""
    with tf.io.gfile.GFile(os.path.join(uri, _JSON)) as file:
        return json.load(file)
