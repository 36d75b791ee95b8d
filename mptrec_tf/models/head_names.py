"""What the kinds of heads are called; imports no TensorFlow, as programs' flags need it."""

# The paper's, by how they attend to the existing tasks.
ATTENTIONS = ("prompt", "fixed", "task_similarity")
# All of them; the last two have a small expert of their own.
KINDS = (*ATTENTIONS, "residual", "residual_small")
# The best of them, chosen on the validation rows.
AUTO = "auto"
