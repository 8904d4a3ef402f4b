"""TensorFlow Serving's REST API: paths to answers (model_servers/http_rest_api_handler.cc, http_rest_api_util.cc)."""

import dataclasses
import json
import re
import time
import urllib.parse
from typing import Any

import numpy as np

from serving.batching import Batcher
from serving.errors import invalid
from serving.json import json_examples, json_requests, json_responses
from serving.metrics import Metrics
from serving.process import Servable
from serving.servable import DEFAULT_SIGNATURE, Signature, check_rank
from serving.versions import Models

Array = Any  # np.ndarray

PATH = re.compile("(?i)/v1/.*")
_WHICH = r"(?:(?:/versions/(?P<version>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_ASK = re.compile(rf"(?ai)/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<method>classify|regress|predict)")
_LOOK = re.compile(rf"(?ai)/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?P<metadata>/metadata)?")


@dataclasses.dataclass
class Asked:
    """Fields of the access log; filled in while the request is handled.

    Attributes:
      model: its name; empty where the path names none.
      method: ``predict``, ``classify`` or ``regress``; empty for the others.
      version: that answered.
    """

    model: str = ""
    method: str = ""
    version: int | None = None


class Api:
    """Answers what stands below ``/v1/``.

    Args:
      models: that are served.
      batcher: computes.
      metrics: counts.
      timeout: seconds until an answer.
    """

    def __init__(self, models: Models, batcher: Batcher, metrics: Metrics, timeout: float) -> None:
        self._models, self._batcher, self._metrics, self._timeout = models, batcher, metrics, timeout

    async def answer(self, verb: str, path: str, body: bytes, asked: Asked) -> bytes:
        """The JSON.

        Args:
          verb: of HTTP.
          path: as sent, not decoded.
          body: as JSON text, decompressed.
          asked: is filled in.

        Raises:
          ApiError: what is answered instead.
        """
        if verb == "GET" and (match := _LOOK.fullmatch(path)):
            name, version, label = _which(match, asked)
            if not name:
                raise invalid("Missing model name in request.")
            return self._metadata(name, version, label) if match["metadata"] else self._status(name, version)
        # A method in capitals matches the path, and has no answer.
        if verb == "POST" and (match := _ASK.fullmatch(path)) and match["method"] in ("predict", "classify", "regress"):
            name, version, label = _which(match, asked)
            asked.method = match["method"]
            document = json_requests.parse(body)
            signature_name = json_requests.signature_name(document)
            examples = [] if asked.method == "predict" else json_examples.examples(document)
            asked.version, servable = self._models.find(name, version, label)
            servable.users += 1
            try:
                if asked.method == "predict":
                    return await self._predict(servable, signature_name, document, asked)
                signature = servable.signatures.get(signature_name or DEFAULT_SIGNATURE)
                if signature is None:
                    raise invalid(f"No signature was found with the name: {signature_name or DEFAULT_SIGNATURE}")
                method = self._classify if asked.method == "classify" else self._regress
                return await method(signature, examples, asked)
            finally:
                servable.users -= 1
        raise invalid(f"Malformed request: {verb} {path}")

    async def _predict(self, servable: Servable, name: str, document: dict[str, Any], asked: Asked) -> bytes:
        signature = servable.signatures.get(name or DEFAULT_SIGNATURE)
        if signature is None:
            raise invalid(f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def')
        if not signature.inputs:
            raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
        inputs, by_rows = json_requests.predict_inputs(document, signature.inputs)
        _check_inputs(signature, inputs)
        outputs = await self._run(signature, inputs, asked)
        return json_responses.rows(outputs) if by_rows else json_responses.columns(outputs)

    async def _classify(self, signature: Signature, examples: list[bytes], asked: Asked) -> bytes:
        """PreProcessClassification and PostProcessClassificationResult of servables/tensorflow/classifier.cc."""
        if len(signature.inputs) != 1:
            raise invalid("Expected one input Tensor.")
        if not 1 <= len(signature.outputs) <= 2:
            raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
        if "inputs" not in signature.inputs:
            raise invalid(f"No classification inputs found in SignatureDef: {signature.text}")
        if not {"classes", "scores"} & set(signature.outputs):
            raise invalid(
                'Expected classification signature outputs to contain at least one of "classes" or "scores". '
                f"Signature was: {signature.text}"
            )
        outputs = await self._run_examples(signature, examples, asked)
        classes, scores = outputs.get("classes"), outputs.get("scores")
        for name, value, kind, dtype in (
            ("classes", classes, "DT_STRING", object),
            ("scores", scores, "DT_FLOAT", np.float32),
        ):
            if value is None:
                continue
            if value.ndim != 2:
                raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(value)}")
            if value.dtype != dtype:
                raise invalid(f"Expected {name} Tensor of {kind}. Got: {value.dtype.name}")
            if len(value) != len(examples):
                raise invalid(f"Expected {name} output batch size of {len(examples)}. Got: {len(value)}")
        if classes is not None and scores is not None and classes.shape != scores.shape:
            raise invalid(
                f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
            )
        return json_responses.classes(classes, scores)

    async def _regress(self, signature: Signature, examples: list[bytes], asked: Asked) -> bytes:
        """PreProcessRegression and PostProcessRegressionResult of servables/tensorflow/regressor.cc."""
        if len(signature.inputs) != 1:
            raise invalid("Expected one input Tensor.")
        if len(signature.outputs) != 1:
            raise invalid("Expected one output Tensor.")
        if "inputs" not in signature.inputs:
            raise invalid(f"No regression inputs found in SignatureDef: {signature.text}")
        if "outputs" not in signature.outputs:
            raise invalid(f"No regression outputs found in SignatureDef: {signature.text}")
        value = (await self._run_examples(signature, examples, asked))["outputs"]
        if not (value.ndim == 1 or (value.ndim == 2 and value.shape[1] == 1)):
            raise invalid(
                f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(value)}"
            )
        if len(value) != len(examples):
            raise invalid(f"Input batch size did not match output batch size: {len(examples)} vs. {len(value)}")
        if value.dtype != np.float32:
            raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {value.dtype.name}")
        return json_responses.regressions(value)

    async def _run_examples(self, signature: Signature, examples: list[bytes], asked: Asked) -> dict[str, Array]:
        self._metrics.examples(asked.model, len(examples))
        return await self._run(signature, {"inputs": np.array(examples, object)}, asked)

    async def _run(self, signature: Signature, inputs: dict[str, Array], asked: Asked) -> dict[str, Array]:
        started = time.perf_counter()
        outputs = await self._batcher.run(signature, inputs, self._timeout)
        self._metrics.runtime(asked.model, asked.method, time.perf_counter() - started)
        return outputs

    def _status(self, name: str, version: int | None) -> bytes:
        """GetModelStatusImpl, which ignores labels."""
        states = [
            {
                "version": str(number),
                "state": found.state.name,
                "status": {
                    "error_code": found.fault.code if found.fault else "OK",
                    "error_message": found.fault.message if found.fault else "",
                },
            }
            for number, found in self._models.versions(name, version).items()
        ]
        return _json({"model_version_status": states})

    def _metadata(self, name: str, version: int | None, label: str | None) -> bytes:
        number, servable = self._models.find(name, version, label)
        spec = _json({"name": name, "version": str(number), "signature_name": ""})
        return b'{\n"model_spec":%b,\n"metadata": {"signature_def": %b}\n}\n' % (spec, servable.metadata)


def _which(match: re.Match[str], asked: Asked) -> tuple[str, int | None, str | None]:
    """Model name, version, label: ParseModelInfo."""
    asked.model = _decoded(match["name"] or "")
    version, label = match["version"], match["label"]
    if version is not None and int(version) >= 2**63:
        raise invalid(f"Failed to convert version: {version} to numeric.")
    return asked.model, int(version) if version else None, _decoded(label) if label else None


def _decoded(text: str) -> str:
    return urllib.parse.unquote(text, errors="surrogateescape")


def _check_inputs(signature: Signature, inputs: dict[str, Array]) -> None:
    """VerifyRequestInputsSize of servables/tensorflow/predict_util.cc."""
    if inputs.keys() != signature.inputs.keys():
        wanted, sent = set(signature.inputs), set(inputs)
        listed = [",".join(sorted(names)) for names in (sent, wanted, sent - wanted, wanted - sent)]
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({{{listed[0]}}}) != "
            f"len({{{listed[1]}}}). Sent extra: {{{listed[2]}}}. Missing but required: {{{listed[3]}}}."
        )
    for name, value in inputs.items():
        check_rank(name, value)


def _shape(value: Array) -> str:
    return f"[{','.join(map(str, value.shape))}]"


def _json(document: object) -> bytes:
    """As MessageToJsonString with white space and default values."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape")
