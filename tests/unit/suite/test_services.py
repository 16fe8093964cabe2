"""What the services are told, and which addresses are free."""

import socket
from pathlib import Path

import pytest

from suite.clients import SERVICES, default_addresses
from suite.errors import SuiteError
from suite.services import addresses_from, environment, free_addresses, is_free, overruled, why_not_free

DATA = Path("/data")


def test_addresses_are_the_defaults_unless_a_service_is_told_to_listen_elsewhere() -> None:
    assert addresses_from({}) == default_addresses()
    told = addresses_from({"LOG_SERVICE_LISTEN": "127.0.0.1:1", "OTHER_LISTEN": "x"})
    assert told == {**default_addresses(), "log_service": "127.0.0.1:1"}


def test_a_service_is_told_where_to_listen_and_whom_to_ask_and_keeps_other_settings() -> None:
    addresses = {service: f"127.0.0.1:{port}" for port, service in enumerate(SERVICES, start=1)}
    environ = {"PATH": "/bin", "POLICY_SERVICE_LOG_LEVEL": "debug", "POLICY_SERVICE_LISTEN": "127.0.0.1:9"}
    assert environment("policy_service", addresses, DATA, "wall", environ) == {
        "PATH": "/bin",
        "POLICY_SERVICE_LOG_LEVEL": "debug",
        "POLICY_SERVICE_LISTEN": "127.0.0.1:1",
        "POLICY_SERVICE_DATABASE_URL": "sqlite:////data/policy_service.db",
        "POLICY_SERVICE_PRODUCT_CLOCK": "wall",
        "POLICY_SERVICE_COMPUTE_ADDRESS": "127.0.0.1:3",
        "POLICY_SERVICE_LOG_ADDRESS": "127.0.0.1:4",
    }
    assert "LOG_SERVICE_POLICY_ADDRESS" not in environment("log_service", addresses, DATA, "wall", {})


@pytest.mark.parametrize("text", ["", "50051", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "unix:/tmp/x", "a:1,b:2"])
def test_what_is_no_address_to_listen_on_is_told_with_its_variable(text: str) -> None:
    with pytest.raises(SuiteError) as caught:
        addresses_from({"LOG_SERVICE_LISTEN": text, "COMPUTE_SIM_LISTEN": "[::1]:65535"})
    assert caught.value.problems == (f"LOG_SERVICE_LISTEN: must be an address such as 127.0.0.1:50051, is {text!r}",)


def test_settings_that_the_suite_says_by_itself_are_found() -> None:
    own = ["COMPUTE_SIM_DATABASE_URL", "POLICY_SERVICE_COMPUTE_ADDRESS", "SCHEDULER_SERVICE_PRODUCT_CLOCK"]
    free = ["COMPUTE_SIM_DATABASE_CONNECTIONS", "COMPUTE_SIM_LISTEN", "COMPUTE_SIM_POLICY_ADDRESS", "DATABASE_URL"]
    assert overruled(dict.fromkeys(own + free, "")) == own


def test_an_address_that_someone_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert not is_free(address)
    assert is_free(address)


def test_why_an_address_is_not_free_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert why_not_free(address) == "another program uses this port"
    assert why_not_free("192.0.2.1:50051") == "Cannot assign requested address"
    assert why_not_free("nowhere.invalid:50051") not in {"", "None", "another program uses this port"}


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_host_that_cannot_have_that_name_is_told(host: str) -> None:
    assert why_not_free(f"{host}:50051") == f"{host} cannot be the name of a host"


def test_free_addresses_are_free_and_of_their_own() -> None:
    addresses = free_addresses()
    assert list(addresses) == list(SERVICES)
    assert len(set(addresses.values())) == 4
    assert all(is_free(address) for address in addresses.values())
