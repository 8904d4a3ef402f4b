"""Warm-up requests: a server answers them before it announces the model, so that the first real request is fast.

TensorFlow Serving replays ``assets.extra/tf_serving_warmup_requests``, a TFRecord file of at most 1,000 logs.
"""

import itertools
import pathlib
from collections.abc import Sequence

from models.families import Input

# Kernels are chosen, and memory is taken, by size: one row, a few, a full batch; short, usual and long ones.
ROWS = (1, 8, 32)
UNITS = (8, 32, 128)  # words, items: what ``Input.sized`` counts
FILE = "tf_serving_warmup_requests"  # tensorflow/serving, servables/tensorflow/saved_model_warmup_util.cc


def write(folder: pathlib.Path, inputs: Sequence[Input]) -> None:
    """One request for every size.

    Args:
      folder: the export's ``assets.extra``.
      inputs: the arguments of ``serving_default``.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    with tf.io.TFRecordWriter(str(folder / FILE)) as file:
        for rows, units in itertools.product(ROWS, UNITS):
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = "serving_default"
            for each in inputs:
                request.inputs[each.name].CopyFrom(tf.make_tensor_proto([each.sized(units)] * rows))
            log = prediction_log_pb2.PredictLog(request=request)
            file.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
