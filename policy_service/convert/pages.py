"""What the pages of a list have in common."""

from google.protobuf.message import Message


def query(parent: str, filter: Message | None = None) -> dict[str, str]:
    """What must stay the same from page to page."""
    return {"parent": parent, "filter": "" if filter is None else filter.SerializeToString(deterministic=True).hex()}
