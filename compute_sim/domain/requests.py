"""What is remembered of an image's request id, for as long as the record exists (rule C5)."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from compute_sim.domain.errors import ImageDeleted, RequestResolved
from compute_sim.domain.keys import Key
from servicekit.errors import RequestIdReused, ServiceError
from servicekit.names import IMAGE, INSTANCE

MARK_KEPT = timedelta(days=400)
"""How long it is remembered that a request id was given up or its image deleted, in product time (rule X10)."""


class RequestFate(StrEnum):
    """ACCEPTED: it has an image, until that is DELETED. RESOLVED: it was given up before it had one."""

    ACCEPTED = "ACCEPTED"
    RESOLVED = "RESOLVED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """What became of a request (its key's id is the request id) for an image of an instance."""

    key: Key
    instance_id: str
    fate: RequestFate
    image_id: str | None = None

    def repeated(self, instance_id: str) -> Key:
        """The image that a create with this request id is answered with; raises what it is refused with."""
        if self.instance_id != instance_id:
            raise RequestIdReused(self.key.id)
        outcome = self.settled(instance_id)
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    def settled(self, instance_id: str) -> Key | ServiceError:
        """The image that was begun for the request id and this instance; or why there is none and never will be."""
        account, region, request_id = self.key
        if self.fate is RequestFate.RESOLVED or self.instance_id != instance_id:
            return RequestResolved(INSTANCE.format(account=account, region=region, instance=instance_id), request_id)
        assert self.image_id is not None
        if self.fate is RequestFate.DELETED:
            return ImageDeleted(IMAGE.format(account=account, region=region, image=self.image_id), request_id)
        return self.key.sibling(self.image_id)


@dataclass(frozen=True, slots=True)
class ImageRequestReference:
    """A request id, and the instance that the image was to be made of."""

    key: Key
    instance_id: str

    def given_up(self) -> ImageRequest:
        return ImageRequest(self.key, self.instance_id, RequestFate.RESOLVED)
