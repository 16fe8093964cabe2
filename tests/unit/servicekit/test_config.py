from dataclasses import dataclass

import pytest

from servicekit.config import (
    ConfigError,
    ServerSettings,
    address,
    database_setting,
    integer,
    listen_setting,
    load,
    one_of,
    setting,
    short_text,
    switch,
)


@dataclass(frozen=True, kw_only=True)
class Settings(ServerSettings):
    listen: str = listen_setting(50051)
    database_url: str = database_setting("policy_service")
    compute_address: str = setting("127.0.0.1:50053", "where compute listens", address)
    batch: int = setting(500, "items per batch", integer(1, 500))
    mood: str = setting("calm", "how to be", one_of("calm", "hasty"))
    loud: bool = setting(False, "whether to shout", switch)
    motto: str = setting("onward", "what to shout", short_text(9))
    token: str = setting("", "a secret", one_of("right"), secret=True)


def _load(**environ: str) -> Settings:
    return load("POLICY_SERVICE", Settings, {f"POLICY_SERVICE_{name}": value for name, value in environ.items()})


def _problems(**environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        _load(**environ)
    return caught.value.problems


def test_every_setting_has_a_default_that_works() -> None:
    settings = load("POLICY_SERVICE", Settings, {"PATH": "/bin", "LOG_SERVICE_LISTEN": "x", "POLICY_SERVICES": "x"})
    assert settings == Settings()
    assert settings.listen == "127.0.0.1:50051"
    assert settings.database_url == "sqlite:///./data/policy_service.db"
    again = {name.upper(): value for name, value in vars(settings).items() if isinstance(value, str) and value}
    assert _load(**again) == settings


def test_values_are_read_and_trimmed() -> None:
    settings = _load(
        LISTEN=" [::1]:0 ",
        DATABASE_URL="sqlite:////var/lib/p.db",
        DATABASE_MAX_PAGES="1000",
        PRODUCT_CLOCK="data/clock",
        REGIONS="cn-north-1, mars-1",
        LOG_LEVEL="debug",
        BATCH="500",
        DRAIN_SECONDS="0",
        LOUD="on",
        MOTTO="前进",
    )
    assert settings == Settings(
        listen="[::1]:0",
        database_url="sqlite:////var/lib/p.db",
        database_max_pages=1000,
        product_clock="data/clock",
        regions=frozenset({"cn-north-1", "mars-1"}),
        log_level="debug",
        batch=500,
        drain_seconds=0,
        loud=True,
        motto="前进",
    )


def test_every_problem_is_told_at_once_and_names_its_variable() -> None:
    assert _problems(LISTEN="50051", BATCH="501", MOOD="", LISTNE="127.0.0.1:1", ZEBRA="1", REGIONS="a,") == (
        "POLICY_SERVICE_BATCH: must be a whole number from 1 to 500, is '501'",
        "POLICY_SERVICE_LISTEN: must be an address such as 127.0.0.1:50051, is '50051'",
        "POLICY_SERVICE_LISTNE: there is no such setting; did you mean POLICY_SERVICE_LISTEN?",
        "POLICY_SERVICE_MOOD: must be one of calm, hasty, is ''",
        "POLICY_SERVICE_REGIONS: must be region ids separated by commas, such as cn-north-1,cn-south-1, is 'a,'",
        _problems(ZEBRA="1")[0],
    )


def test_an_unknown_variable_with_no_neighbour_lists_what_there_is() -> None:
    (problem,) = _problems(ZEBRA="1")
    assert problem.startswith("POLICY_SERVICE_ZEBRA: there is no such setting; there are POLICY_SERVICE_LISTEN, ")
    assert problem.endswith("POLICY_SERVICE_TOKEN")


@pytest.mark.parametrize("listen", ["127.0.0.1:50051", "127.8.9.1:0", "[::1]:65535", "localhost:1"])
def test_listening_on_loopback_is_allowed(listen: str) -> None:
    assert _load(LISTEN=listen).listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:50051", "[::]:1", "10.0.0.5:1", "example.com:1", "[fe80::1]:1"])
def test_listening_beyond_loopback_is_refused_with_the_reason(listen: str) -> None:
    (problem,) = _problems(LISTEN=listen)
    assert problem == (
        "POLICY_SERVICE_LISTEN: must be on loopback (127.0.0.1, [::1] or localhost): to listen beyond it takes TLS and "
        f"identity, which this version does not have, is {listen!r}"
    )


@pytest.mark.parametrize("listen", ["", ":1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:5", "a b:1", "h:1x"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    (problem,) = _problems(LISTEN=listen)
    assert problem.startswith("POLICY_SERVICE_LISTEN: must be an address such as")


def test_the_address_of_another_service_may_be_anywhere_but_needs_a_port() -> None:
    assert _load(COMPUTE_ADDRESS="compute.example:443").compute_address == "compute.example:443"
    assert _problems(COMPUTE_ADDRESS="compute.example:0")


@pytest.mark.parametrize("text", ["10.0.0.1:1,10.0.0.2:1", "[::1]:1,[::2]:2,[::1]:3"])
def test_a_service_may_have_several_addresses(text: str) -> None:
    assert _load(COMPUTE_ADDRESS=text).compute_address == text


@pytest.mark.parametrize(
    "text", ["10.0.0.1:1,[::1]:1", "10.0.0.1:1,compute.example:1", "10.0.0.1:1,", "10.0.0.1:1, 10.0.0.2:1"]
)
def test_several_addresses_are_ip_addresses_of_one_version(text: str) -> None:
    assert len(_problems(COMPUTE_ADDRESS=text)) == 1


@pytest.mark.parametrize("text", ["", "1.5", "x", "0", "501", "9" * 30, "+1", "１"])
def test_what_is_no_number_in_range_is_refused(text: str) -> None:
    (problem,) = _problems(BATCH=text)
    assert problem.startswith("POLICY_SERVICE_BATCH: must be a whole number from 1 to 500")


def test_a_database_that_cannot_be_used_is_refused_and_no_secret_is_shown() -> None:
    assert _problems(DATABASE_URL="mysql://me:hidden@db/x", TOKEN="hidden") == (
        "POLICY_SERVICE_DATABASE_URL: names the engine mysql; there are sqlite and postgresql",
        "POLICY_SERVICE_TOKEN: must be one of right",
    )


def test_an_empty_clock_is_refused() -> None:
    assert _problems(PRODUCT_CLOCK="") == (
        "POLICY_SERVICE_PRODUCT_CLOCK: must be wall, or the path of a clock file, is ''",
    )
