"""Between the contract's messages and this service's values. Requests have been validated."""

from policy_service.convert import associations, names, pages, policies, schedules, triggers

__all__ = ["associations", "names", "pages", "policies", "schedules", "triggers"]
