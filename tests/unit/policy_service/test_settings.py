"""What an operator can say, and what is said back."""

import pytest

from policy_service.settings import Settings
from servicekit import config


def test_settings_without_any_variable_have_working_defaults() -> None:
    settings = config.load("POLICY_SERVICE", Settings, {})
    assert settings == Settings()
    assert (settings.listen, settings.compute_address, settings.log_address) == (
        "127.0.0.1:50051",
        "127.0.0.1:50053",
        "127.0.0.1:50054",
    )
    assert settings.database_url == "sqlite:///./data/policy_service.db"
    assert (settings.trigger_lease_seconds, settings.sweep_interval_seconds) == (30, 86_400)


def test_every_wrong_setting_is_told_at_once() -> None:
    environ = {
        "POLICY_SERVICE_COMPUTE_ADDRESS": "nowhere",
        "POLICY_SERVICE_LOG_ADDRESS": "127.0.0.1:0",
        "POLICY_SERVICE_TRIGGER_LEASE_SECONDS": "0",
        "POLICY_SERVICE_SWEEP_INTERVAL_SECONDS": "a day",
        "POLICY_SERVICE_INVITE_ONLY": "yes",
        "POLICY_SERVICE_INVITATION_CONTACT": "x" * 121,
        "POLICY_SERVICE_TRIGER_LEASE": "30",
    }
    with pytest.raises(config.ConfigError) as told:
        config.load("POLICY_SERVICE", Settings, environ)
    assert {problem.partition(":")[0] for problem in told.value.problems} == set(environ)
