"""Exceptions to gRPC status: the only place that does it.

A `RequestError` becomes the status it names, with a `google.rpc.ErrorInfo`. Everything else is the server's
own fault: INTERNAL, with a trace in the log and none on the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import structlog
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from sandbox_server.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DOMAIN = "cupel.sandbox.v1"

_log = structlog.get_logger(__name__)


class ErrorStatusInterceptor(grpc.aio.ServerInterceptor):
    """Ends calls whose handler raises with a rich status."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps a handler of this service; those of health and reflection answer for themselves."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(f"/{DOMAIN}."):
            return handler
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                _guarded(handler.stream_stream, method),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            _guarded(handler.unary_unary, method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def rich_status(error: RequestError) -> status_pb2.Status:
    """Returns the status of an error, with its ErrorInfo."""
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    code = code_pb2.Code.Value(error.code)
    return status_pb2.Status(code=code, message=error.message, details=[detail])


def _guarded(handler: Any, method: str) -> Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await handler(request, context)
        except RequestError as error:
            await _abort(context, error)
        except grpc.aio.AbortError:
            raise
        except Exception:
            if context.cancelled() or context.done():
                # The client is gone: whatever could not be written to it is nobody's fault.
                _log.debug("client_gone", method=method, exc_info=True)
                raise
            _log.exception("call_failed", method=method)
            await _abort(context, _InternalError("the server failed; its log tells more"))

    return call


class _InternalError(RequestError):
    code = "INTERNAL"
    reason = "INTERNAL"


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: RequestError) -> None:
    status = rpc_status.to_status(rich_status(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
