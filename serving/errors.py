"""Errors as TensorFlow Serving reports them: a canonical code, which decides the HTTP status, and a sentence."""

# ToHTTPStatusCode in tensorflow/serving's model_servers/http_server.cc; in the order of the canonical codes, from 0.
HTTP_STATUS = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
_CODES = tuple(HTTP_STATUS)


class ApiError(Exception):
    """An error answer.

    Args:
      code: a canonical code, a key of ``HTTP_STATUS``.
      message: the sentence.
      status: of HTTP, where it is not the code's own (413 knows no canonical code).
      headers: of the response, beside its type.
    """

    def __init__(
        self, code: str, message: str, *, status: int | None = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.headers = code, message, headers
        self.status = status or HTTP_STATUS[code]


def invalid(message: str) -> ApiError:
    """An INVALID_ARGUMENT error."""
    return ApiError("INVALID_ARGUMENT", message)


def of(error: Exception, otherwise: str = "INTERNAL") -> ApiError:
    """The same code and sentence as a ``tf.errors.OpError``; for what is none, ``otherwise`` and what it says."""
    if isinstance(error, ApiError):
        return error
    code = getattr(error, "error_code", None)  # TensorFlow is not imported for this
    if isinstance(code, int):
        # drop the Python source location, which clients do not need
        return ApiError(_CODES[code], str(getattr(error, "message", error)).partition("\n\nOriginal stack trace")[0])
    return ApiError(otherwise, f"{type(error).__name__}: {error}")
