"""Users who do not take a failure for an answer."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from google.rpc import code_pb2

from servicekit.errors import Code, ServiceError, Unavailable
from suite.clients import Calls, Clients


class InsistentClients(Clients):
    """Each call is made again, with the same request id, until it is answered; `look` is called in between."""

    def __init__(self, addresses: Mapping[str, str], look: Callable[[], None]) -> None:
        super().__init__(addresses)
        for name, calls in list(vars(self).items()):
            if isinstance(calls, Calls):
                setattr(self, name, _InsistentCalls(calls, look))


class _InsistentCalls(Calls):
    def __init__(self, calls: Calls, look: Callable[[], None]) -> None:
        self._calls = calls
        self._look = look

    def __getattr__(self, method: str) -> Callable[[Any], Any]:
        return lambda request: self._insist(method, request)

    def _insist(self, method: str, request: Any) -> Any:
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = str(uuid.uuid4())
        call = getattr(self._calls, method)
        is_repeated = False
        while True:
            self._look()
            try:
                response = call(request)
                if not _is_in_part(response):
                    return response
            except Unavailable:
                pass
            except ServiceError as error:
                # What was deleted, though the answer was lost, is not found the next time.
                if not (is_repeated and method.startswith("Delete") and error.code is Code.NOT_FOUND):
                    raise
                return None
            is_repeated = True


def _is_in_part(response: Any) -> bool:
    """Whether some item of a batch could not be done for now."""
    return any(
        result.HasField("error") and result.error.code == code_pb2.UNAVAILABLE
        for result in getattr(response, "results", ())
    )
