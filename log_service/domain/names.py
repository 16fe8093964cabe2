"""Names of log sets and topics, in parts. `str` gives the full resource name."""

from typing import NamedTuple

from servicekit.names import ACCOUNT_REGION, LOG_SET, LOG_TOPIC


class Place(NamedTuple):
    """An account's share of a region; nothing here crosses its border."""

    account: str
    region: str

    def __str__(self) -> str:
        return ACCOUNT_REGION.format(**self._asdict())


class LogSetName(NamedTuple):
    account: str
    region: str
    log_set: str

    @property
    def place(self) -> Place:
        return Place(self.account, self.region)

    def topic(self, log_topic: str) -> "LogTopicName":
        return LogTopicName(*self, log_topic)

    def __str__(self) -> str:
        return LOG_SET.format(**self._asdict())


class LogTopicName(NamedTuple):
    account: str
    region: str
    log_set: str
    log_topic: str

    @property
    def parent(self) -> LogSetName:
        return LogSetName(self.account, self.region, self.log_set)

    def __str__(self) -> str:
        return LOG_TOPIC.format(**self._asdict())
