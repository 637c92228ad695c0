"""What can go wrong with the server itself. What a sample does is never here: that is in its facts.

SandboxServerError
├── RequestError            the request is at fault; carries a gRPC status code and an ErrorInfo
│   ├── LimitAboveMaximumError, FieldError, SourceTooLargeError, EmptyRequestError    INVALID_ARGUMENT
│   ├── UnknownEnvironmentError                                        NOT_FOUND
│   ├── IsolationUnavailableError, MissingPackagesError                FAILED_PRECONDITION
│   └── NoCreditError, AlreadyInFlightError, DrainingError, WorkersLostError
├── ListenError             an address that the server cannot or must not listen on
└── WorkerError             the server's side is at fault
    ├── WorkerStartError    a worker did not come up
    │   ├── WallMissingError        a required wall does not stand
    │   ├── EngineUnavailableError  what starts containers does not answer
    │   └── ImageError              an environment's image is missing or not fit
    └── WorkerLostError     a worker died with samples in flight
"""

from __future__ import annotations


class SandboxServerError(Exception):
    """The root of everything that can go wrong with the server itself."""


class RequestError(SandboxServerError):
    """Raised when a request cannot be served as it is.

    `code` is the name of a gRPC status code, `reason` the ErrorInfo reason, `metadata` its particulars.
    """

    code = "INVALID_ARGUMENT"
    reason = "FIELD_INVALID"

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class LimitAboveMaximumError(RequestError):
    """Raised when a sample asks for more than the server's maximum."""

    reason = "LIMIT_ABOVE_MAXIMUM"


class FieldError(RequestError):
    """Raised when a field of a request has a value that means nothing."""


class FieldMissingError(FieldError):
    """Raised when a field that is needed is absent."""

    reason = "FIELD_MISSING"


class EmptyRequestError(RequestError):
    """Raised when a request of a stream carries no message."""

    reason = "EMPTY_REQUEST"


class SourceTooLargeError(RequestError):
    """Raised when a program is larger than the server takes."""

    reason = "SOURCE_TOO_LARGE"


class UnknownEnvironmentError(RequestError):
    """Raised when no worker has the environment that a sample names."""

    code = "NOT_FOUND"
    reason = "UNKNOWN_ENVIRONMENT"


class IsolationUnavailableError(RequestError):
    """Raised when this server cannot give the isolation that a sample asks for."""

    code = "FAILED_PRECONDITION"
    reason = "ISOLATION_UNAVAILABLE"


class MissingPackagesError(RequestError):
    """Raised when no environment has the packages that a sample declares, or the one that it names lacks some."""

    code = "FAILED_PRECONDITION"
    reason = "MISSING_PACKAGES"


class NoCreditError(RequestError):
    """Raised when all places are taken."""

    code = "RESOURCE_EXHAUSTED"
    reason = "NO_CREDIT"


class AlreadyInFlightError(RequestError):
    """Raised when a sample_id is already in flight on the same stream."""

    code = "ALREADY_EXISTS"
    reason = "ALREADY_IN_FLIGHT"


class DrainingError(RequestError):
    """Raised when the server is about to stop and takes no more samples."""

    code = "UNAVAILABLE"
    reason = "DRAINING"


class WorkersLostError(RequestError):
    """Raised when a request meets a server whose workers are gone for good."""

    code = "UNAVAILABLE"
    reason = "WORKERS_LOST"


class ListenError(SandboxServerError):
    """Raised when the server cannot, or must not, listen on an address."""


class WorkerError(SandboxServerError):
    """Raised when a worker is at fault, not a sample."""

    reason = "WORKER_FAILED"


class WorkerStartError(WorkerError):
    """Raised when a worker does not come up."""

    reason = "WORKER_NOT_STARTED"


class WallMissingError(WorkerStartError):
    """Raised when a wall that is required does not stand."""

    reason = "WALL_MISSING"


class EngineUnavailableError(WorkerStartError):
    """Raised when the engine that starts containers does not answer; it may come back."""

    reason = "ENGINE_UNAVAILABLE"


class ImageError(WorkerStartError):
    """Raised when an environment's image is missing, or was made for another version of the agent."""

    reason = "IMAGE_UNFIT"


class WorkerLostError(WorkerError):
    """Raised when a worker dies with samples in flight."""

    reason = "WORKER_LOST"
