"""The OpenAPI description of what the server answers."""

from typing import Any

_ERROR = {
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
        }
    }
}
_ERRORS = {
    code: {"description": what, **_ERROR}
    for code, what in {
        "400": "the request cannot be understood, or the model refuses it",
        "404": "no such model or version",
        "408": "the body did not arrive in time",
        "413": "the body is too large",
        "429": "too many requests wait; Retry-After says when to come back",
        "500": "the model failed",
        "501": "a type that JSON cannot carry",
        "504": "no answer in time",
    }.items()
}
_PARAMETERS = {
    "model": {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[^/:]+$"}},
    "version": {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    },
    "label": {"name": "label", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[^/:]+$"}},
}
_WHICH = {"": (), "/versions/{version}": ("version",), "/labels/{label}": ("label",)}
_SIGNATURE = {"signature_name": {"type": "string"}}
_EXAMPLES = {
    "type": "object",
    "properties": {
        **_SIGNATURE,
        "context": {"type": "object"},
        "examples": {"type": "array", "minItems": 1, "items": {"type": "object"}},
    },
    "required": ["examples"],
}
_REQUESTS: dict[str, Any] = {
    "predict": {
        "oneOf": [
            {
                "type": "object",
                "properties": {**_SIGNATURE, "instances": {"type": "array", "minItems": 1}},
                "required": ["instances"],
            },
            {"type": "object", "properties": {**_SIGNATURE, "inputs": {}}, "required": ["inputs"]},
        ]
    },
    "classify": _EXAMPLES,
    "regress": _EXAMPLES,
}


def describe() -> dict[str, Any]:
    """The document, OpenAPI 3.1."""
    paths: dict[str, Any] = {
        "/healthz": {"get": _operation("the process is alive", (), "200")},
        "/readyz": {"get": _operation("every model answers", (), "200", "503")},
    }
    for which, more in _WHICH.items():
        parameters = ("model", *more)
        model = f"/v1/models/{{model}}{which}"
        paths[model] = {"get": _operation("the state of the versions", parameters, "200", "400", "404")}
        paths[f"{model}/metadata"] = {"get": _operation("the signatures", parameters, "200", "400", "404", "503")}
        for method, schema in _REQUESTS.items():
            body = {"required": True, "content": {"application/json": {"schema": schema}}}
            operation = _operation(f"asks the model: {method}", parameters, "200", "503", *_ERRORS)
            paths[f"{model}:{method}"] = {"post": {**operation, "requestBody": body}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "TensorFlow Serving's REST API, embedded server", "version": "1"},
        "paths": paths,
    }


def _operation(what: str, parameters: tuple[str, ...], *codes: str) -> dict[str, Any]:
    answers = {"200": {"description": what, "content": {"application/json": {"schema": {"type": "object"}}}}}
    others = {"503": {"description": "not yet, or no longer", **_ERROR}, **_ERRORS}
    return {
        "summary": what,
        "parameters": [_PARAMETERS[name] for name in parameters],
        "responses": {code: answers.get(code) or others[code] for code in codes},
    }
