"""The shape of each request. What the contract's field behavior says is checked before, by `@rpc`."""

from policy_service.validation import associations, policies, schedules, triggers

__all__ = ["associations", "policies", "schedules", "triggers"]
