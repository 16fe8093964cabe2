"""What an error tells a program."""

from typing import Any

from servicekit.errors import Code, ServiceError

Told = tuple[Code, str, dict[str, str], tuple[Any, ...]]


def told(error: ServiceError) -> Told:
    """Code, reason, metadata, and what it is about: resource, precondition, quota, wrong fields, whichever it has."""
    about: list[Any] = []
    if error.resource is not None:
        about.append((error.resource.type, error.resource.name))
    if error.precondition is not None:
        about.append((error.precondition.type, error.precondition.subject))
    if error.quota is not None:
        about.append(error.quota.subject)
    about += [(violation.field, violation.reason) for violation in error.violations]
    return error.code, error.reason, error.metadata, tuple(about)
