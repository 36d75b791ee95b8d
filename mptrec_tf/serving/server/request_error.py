"""Why a request is rejected: a gRPC status code, the HTTP status, and a message."""

import grpc
import tensorflow as tf

# TF Serving's mapping; the others are 500.
_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
# Bytes. gRPC sends the message in a header, three times as long where it is not ASCII, and clients
# accept headers of 8 KiB at most.
_LONGEST = 1000


class RequestError(Exception):
    """A request that is rejected or fails.

    Args:
      code: The status.
      message: What is wrong.
    """

    def __init__(self, code: grpc.StatusCode, message: str):
        encoded = message.encode("utf-8", "replace")
        if len(encoded) > _LONGEST:
            message = f"{encoded[:_LONGEST].decode('utf-8', 'ignore')}..."
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The corresponding HTTP status."""
        return _HTTP.get(self.code, 500)


def invalid(message: str) -> RequestError:
    """Returns the error for a request that would fail again."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> RequestError:
    """Returns the error for a model or version that is not served."""
    return RequestError(grpc.StatusCode.NOT_FOUND, message)


def unavailable(message: str) -> RequestError:
    """Returns the error for a request that may be sent again."""
    return RequestError(grpc.StatusCode.UNAVAILABLE, message)


def from_tensorflow(error: tf.errors.OpError) -> RequestError:
    """Returns TensorFlow's error of a run, with its own status."""
    return RequestError(_BY_NUMBER.get(error.error_code, grpc.StatusCode.INTERNAL), error.message)
