"""Resource names: `accounts/{account}/regions/{region}/…`."""

import re

_SEGMENT = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ACCOUNT = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_VARIABLE = re.compile(r"\{(\w+)\}")
_ID = re.compile(_SEGMENT)


def is_id(text: str) -> bool:
    """Whether this may be a resource's id: 1–63 lower-case letters, digits, dashes; a letter first, no dash last."""
    return _ID.fullmatch(text) is not None


class Pattern:
    """The names of one kind of resource. For their ids see `is_id`; an account may also begin with a digit."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.variables = tuple(_VARIABLE.findall(pattern))
        self._exact = _compile(pattern, wildcards=False)
        self._wildcards = _compile(pattern, wildcards=True)

    def format(self, **ids: str) -> str:
        """The name made of these ids, which are not checked. A missing or unknown variable raises TypeError."""
        if ids.keys() != set(self.variables):
            raise TypeError(f"{self.pattern} is made of {', '.join(self.variables)}, not of {', '.join(ids)}")
        return self.pattern.format_map(ids)

    def match(self, name: str, wildcards: bool = False) -> dict[str, str] | None:
        """The ids in `name`, or None if it is no such name. With `wildcards`, `-` may stand for any id."""
        found = (self._wildcards if wildcards else self._exact).fullmatch(name)
        return found.groupdict() if found else None

    def parse(self, name: str) -> dict[str, str]:
        """The ids in a name that is known to be right. Any other raises ValueError."""
        ids = self.match(name)
        if ids is None:
            raise ValueError(f"not a name like {self.pattern}")
        return ids

    def __repr__(self) -> str:
        return f"Pattern({self.pattern!r})"


def _compile(pattern: str, *, wildcards: bool) -> re.Pattern[str]:
    def segment(variable: re.Match[str]) -> str:
        shape = _ACCOUNT if variable[1] == "account" else _SEGMENT
        return f"(?P<{variable[1]}>{shape}{'|-' if wildcards else ''})"

    return re.compile(_VARIABLE.sub(segment, pattern))


REGION = Pattern("regions/{region}")
_PLACE = "accounts/{account}/regions/{region}"
ACCOUNT_REGION = Pattern(_PLACE)
POLICY = Pattern(_PLACE + "/policies/{policy}")
ASSOCIATION = Pattern(_PLACE + "/policies/{policy}/associations/{instance}")
EXECUTION = Pattern(_PLACE + "/policies/{policy}/executions/{execution}")
IMAGE_TASK = Pattern(_PLACE + "/policies/{policy}/executions/{execution}/imageTasks/{image_task}")
POLICY_LIMIT = Pattern(_PLACE + "/policyLimit")
INSTANCE = Pattern(_PLACE + "/instances/{instance}")
DISK = Pattern(_PLACE + "/disks/{disk}")
IMAGE = Pattern(_PLACE + "/images/{image}")
SNAPSHOT = Pattern(_PLACE + "/snapshots/{snapshot}")
QUOTA = Pattern(_PLACE + "/quotas/{quota}")
LOG_SET = Pattern(_PLACE + "/logSets/{log_set}")
LOG_TOPIC = Pattern(_PLACE + "/logSets/{log_set}/logTopics/{log_topic}")
