import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import asyncio

import numpy as np
import tensorflow as tf

from mptrec_tf.serving.server.batching import Batcher
from mptrec_tf.serving.server.measuring import Metrics
from mptrec_tf.serving.server.models import Version
from mptrec_tf.serving.server.options import BatchingParameters
from mptrec_tf.serving.server.signature import Signature, Tensor


class Firsts:
    """A servable that returns the first row of its input."""

    def run(self, signature, inputs):
        assert signature == "firsts"
        return {"first": inputs["x"][:1]}


def test_requests_that_are_too_large_to_be_merged_run_alone():
    # Views of one number, which no memory could hold as one array.
    rows = 2**45
    columns = [np.broadcast_to(np.float32(value), [rows]) for value in (3, 4)]
    tensor = Tensor("x", tf.float32, (-1,))
    signature = Signature("firsts", {"x": tensor}, {"first": tensor})
    version = Version("model", 1)
    version.servable = Firsts()

    async def predict():
        batcher = Batcher(BatchingParameters(2 * rows, 60.0), Metrics())
        outputs = (batcher.submit(version, signature, {"x": column}) for column in columns)
        try:
            return await asyncio.wait_for(asyncio.gather(*outputs), 30)
        finally:
            batcher.close()

    assert [output["first"].tolist() for output in asyncio.run(predict())] == [[3], [4]]
