"""Limits of the data gate."""

import dataclasses
import json
from collections.abc import Mapping

from mptrec_tf.storage.plain import from_plain, to_plain


@dataclasses.dataclass(frozen=True)
class GateConfig:
    """Limits of the data gate.

    Attributes:
      max_unseen_share: float. Largest share of the rows of a split whose value of a feature is not
        in the schema; such values get the out-of-vocabulary id.
      max_drift: float. Largest drift of a feature: the largest difference of any value's share
        (L-infinity norm) for categorical features, the Jensen-Shannon divergence for numeric ones.
        Both lie in [0, 1].
      max_drift_of: Limits of single features, by name.
    """

    max_unseen_share: float = 0.01
    max_drift: float = 0.1
    max_drift_of: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """Returns the configuration as JSON, which `from_json` reads."""
        return json.dumps(to_plain(self))

    @classmethod
    def from_json(cls, text: str) -> "GateConfig":
        """Reads what `to_json` wrote."""
        return from_plain(cls, json.loads(text))
