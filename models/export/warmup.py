"""Warm-up requests: a server answers them before it announces the model, so that the first real request is fast.

TensorFlow Serving replays ``assets.extra/tf_serving_warmup_requests``, a TFRecord file of at most 1,000 logs.
"""

import itertools
import pathlib

from models.export import golden

# Kernels are chosen, and memory is taken, by size: one text, a few, a full batch; short, usual and long ones.
ROWS = (1, 8, 32)
WORDS = (8, 32, 128)
FILE = "tf_serving_warmup_requests"  # tensorflow/serving, servables/tensorflow/saved_model_warmup_util.cc


def write(folder: pathlib.Path, columns: list[str]) -> None:
    """One request for every size.

    Args:
      folder: the export's ``assets.extra``.
      columns: the arguments of ``serving_default``.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    with tf.io.TFRecordWriter(str(folder / FILE)) as file:
        for rows, words in itertools.product(ROWS, WORDS):
            text = " ".join(itertools.islice(itertools.cycle(golden.TEXTS[1].split()), words))
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = "serving_default"
            for column in columns:
                request.inputs[column].CopyFrom(tf.make_tensor_proto([text] * rows))
            log = prediction_log_pb2.PredictLog(request=request)
            file.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
