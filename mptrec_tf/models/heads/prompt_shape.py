"""The paper's head as plain data: its shape, and its three kinds, by their attention.

Imports no TensorFlow.
"""

import dataclasses

from mptrec_tf.models.heads.kind import HeadKind
from mptrec_tf.models.heads.shape_fields import l2_dense, tower_dropout, tower_units
from mptrec_tf.settings import setting

ATTENTIONS = ("prompt", "fixed", "task_similarity")


@dataclasses.dataclass(frozen=True)
class PromptConfig:
    """The shape of the paper's head. The defaults are the paper's for Census-Income.

    Attributes:
      attention: How w is computed. "prompt": w = softmax_k(u . p_k / tau). "fixed": w_k = 1/K.
        "task_similarity": w = softmax_k(p_n . p_k / tau).
      tau: float. Temperature of the attention.
      kl_weight: float. Adds kl_weight * KL(w || uniform), which keeps a badly pre-trained
        backbone from misleading the attention.
      tower_units: Hidden layers of the tower.
      tower_dropout: float. In [0, 1).
      l2_dense: float. L2 of the weights of the tower.
    """

    attention: str = "prompt"
    tau: float = setting(150.0, "Temperature of the attention to existing tasks.", low=1e-6)
    kl_weight: float = setting(
        0.0, "Keeps that attention near equal weights.", low=0.0, training_only=True
    )
    tower_units: tuple[int, ...] = tower_units()
    tower_dropout: float = tower_dropout()
    l2_dense: float = l2_dense()

    def __post_init__(self) -> None:
        if self.attention not in ATTENTIONS:
            raise ValueError(
                f"attention should be one of {ATTENTIONS}. Received: {self.attention!r}."
            )
        if self.tau <= 0:
            raise ValueError(f"tau should be positive. Received: {self.tau}.")


# By name, with the paper's training.
KINDS = {
    attention: HeadKind(
        PromptConfig,
        "mptrec_tf.models.heads.prompt:PromptHead",
        "mptrec_tf.models.heads.prompt:PromptBank",
        reads=frozenset({"shared", "specific", "prompts"}),
        fields={"attention": attention},
    )
    for attention in ATTENTIONS
}
