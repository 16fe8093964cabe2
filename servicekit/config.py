"""Settings from environment variables, each with a working default; all problems are told at once."""

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from servicekit.logs import LEVELS
from servicekit.names import is_id

T = TypeVar("T")
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[^:\[\]/\s]+):(?P<port>[0-9]{1,5})")


class ConfigError(Exception):
    """The configuration is wrong; one text per problem, each naming its variable."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def setting(default: T, description: str, parse: Callable[[str], T], *, secret: bool = False) -> T:
    """A field of a settings class. `parse` makes the value of a text, or raises ValueError saying what is wanted.

    The value of a secret appears in no message.
    """
    metadata = {"description": description, "parse": parse, "secret": secret}
    field: T = dataclasses.field(default=default, metadata=metadata)
    return field


def integer(low: int, high: int) -> Callable[[str], int]:
    """A whole number, both ends allowed."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def one_of(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return text

    return parse


def switch(text: str) -> bool:
    """`on` or `off`."""
    return one_of("on", "off")(text) == "on"


def short_text(max_bytes: int) -> Callable[[str], str]:
    """A text for people that fits a message."""

    def parse(text: str) -> str:
        if not 0 < len(text.encode()) <= max_bytes:
            raise ValueError(f"must be a text of 1 to {max_bytes} bytes")
        return text

    return parse


def address(text: str) -> str:
    """`host:port`, where another service listens; or where its replicas do, IP addresses with commas between."""
    found = [_ADDRESS.fullmatch(part) for part in text.split(",")]
    if not all(one and 0 < int(one["port"]) < 65536 for one in found):
        raise ValueError("must be an address such as 127.0.0.1:50051, or several with commas between")
    versions = {_ip_version(one["host"].strip("[]")) for one in found if one}
    if len(found) > 1 and (None in versions or len(versions) > 1):
        raise ValueError("must be IP addresses, all of one version, where there are several")
    return text


def _ip_version(host: str) -> int | None:
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None


def loopback_address(text: str) -> str:
    """Where to listen: `host:port` on this machine only; port 0 lets the system choose."""
    found = _ADDRESS.fullmatch(text)
    if not found or int(found["port"]) > 65535:
        raise ValueError("must be an address such as 127.0.0.1:50051")
    if not _is_loopback(found["host"].strip("[]")):
        raise ValueError(
            "must be on loopback (127.0.0.1, [::1] or localhost): to listen beyond it takes TLS and identity, "
            "which this version does not have"
        )
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def regions(text: str) -> frozenset[str]:
    """Region ids, separated by commas."""
    found = [part.strip() for part in text.split(",")]
    wrong = [region for region in found if not is_id(region)]
    if wrong:
        raise ValueError("must be region ids separated by commas, such as cn-north-1,cn-south-1")
    return frozenset(found)


def database_url(text: str) -> str:
    from servicekit.database import check_url  # noqa: PLC0415 - this module is read by programs without a database

    return check_url(text)


def clock(text: str) -> str:
    """`wall`, or the path of a clock file."""
    if not text:
        raise ValueError("must be wall, or the path of a clock file")
    return text


def listen_setting(port: int) -> str:
    return setting(f"127.0.0.1:{port}", "where to listen", loopback_address)


def database_setting(service: str) -> str:
    return setting(f"sqlite:///./data/{service}.db", "the service's own database", database_url, secret=True)


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What every service can be told. A service's own class gives `listen` and `database_url` their defaults."""

    listen: str = listen_setting(0)
    database_url: str = database_setting("service")
    database_max_pages: int = setting(0, "most pages of a SQLite database, 0: no limit", integer(0, 2**32 - 2))
    database_connections: int = setting(20, "most connections to the database", integer(1, 1000))
    database_wait_seconds: int = setting(5, "how long to wait for a connection or a lock", integer(1, 600))
    database_statement_seconds: int = setting(
        30, "how long a statement may take on PostgreSQL; migrations take as long as they need", integer(1, 3600)
    )
    product_clock: str = setting("wall", "product time: wall, or the path of a clock file", clock)
    regions: frozenset[str] = setting(
        frozenset({"cn-north-1", "cn-east-1", "cn-east-2", "cn-south-1"}), "the regions served", regions
    )
    log_level: str = setting("info", "the least severe lines to log", one_of(*LEVELS))
    worker_threads: int = setting(8, "calls served at the same moment", integer(1, 64))
    max_calls: int = setting(64, "calls in progress, waiting ones included, before more are refused", integer(1, 1000))
    max_streams: int = setting(100, "streams open at once before more are refused", integer(1, 1000))
    drain_seconds: int = setting(10, "how long calls in progress may take at the end", integer(0, 600))


S = TypeVar("S")


def load(prefix: str, settings_class: type[S], environ: Mapping[str, str]) -> S:
    """The settings, each field from `<PREFIX>_<FIELD>`.

    Raises ConfigError with every problem; a variable with the prefix that is no setting is one.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    fields = {f"{prefix}_{field.name.upper()}": field for field in dataclasses.fields(settings_class)}  # type: ignore[arg-type]
    for variable in sorted(name for name in environ if name.startswith(f"{prefix}_")):
        if variable not in fields:
            problems.append(f"{variable}: there is no such setting{_hint(prefix, variable, fields)}")
            continue
        field = fields[variable]
        try:
            values[field.name] = field.metadata["parse"](environ[variable].strip())
        except ValueError as error:
            shown = "" if field.metadata["secret"] else f", is {environ[variable][:80]!r}"
            problems.append(f"{variable}: {error}{shown}")
    if problems:
        raise ConfigError(problems)
    return settings_class(**values)


def _hint(prefix: str, variable: str, known: Mapping[str, object]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - needed for a mistake only

    settings = [name.removeprefix(f"{prefix}_") for name in known]
    near = get_close_matches(variable.removeprefix(f"{prefix}_"), settings, n=1)
    return f"; did you mean {prefix}_{near[0]}?" if near else f"; there are {', '.join(known)}"
