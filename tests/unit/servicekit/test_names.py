import pytest

from servicekit import names
from servicekit.names import ACCOUNT_REGION, IMAGE_TASK, LOG_TOPIC, POLICY, Pattern, is_id

NAME = "accounts/acme/regions/cn-north-1/policies/pol-3k9x0a7b2c"


def test_a_name_is_taken_apart_and_put_together() -> None:
    ids = {"account": "acme", "region": "cn-north-1", "policy": "pol-3k9x0a7b2c"}
    assert POLICY.match(NAME) == ids
    assert POLICY.parse(NAME) == ids
    assert POLICY.format(**ids) == NAME


@pytest.mark.parametrize(
    "text",
    [
        "",
        NAME + "/",
        NAME + "\n",
        " " + NAME,
        NAME + "/x/y",
        NAME.replace("acme", ""),
        NAME.replace("acme", "-"),
        NAME.replace("pol-", "Pol-"),
        NAME.replace("pol-", "9"),
        NAME.replace("cn-north-1", "cn_north"),
        NAME.replace("policies", "images"),
        NAME + "-",
        NAME.replace("pol-3k9x0a7b2c", "a" * 64),
        NAME.replace("pol-3k9x0a7b2c", "é"),
    ],
)
def test_what_is_no_such_name_does_not_match(text: str) -> None:
    assert POLICY.match(text) is None
    with pytest.raises(ValueError, match="not a name like accounts/"):
        POLICY.parse(text)


def test_wildcards_stand_for_any_id_only_where_they_may() -> None:
    assert ACCOUNT_REGION.match("accounts/-/regions/-") is None
    assert ACCOUNT_REGION.match("accounts/-/regions/-", wildcards=True) == {"account": "-", "region": "-"}
    assert POLICY.match(NAME, wildcards=True) == POLICY.match(NAME)


@pytest.mark.parametrize("text", ["a", "a-b", "a1", "a" * 63])
def test_right_ids(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize("text", ["", "a" * 64, "1a", "-", "a-", "-a", "A", "a_b", "a\n", "ä"])
def test_wrong_ids(text: str) -> None:
    assert not is_id(text)


def test_an_account_may_begin_with_a_digit() -> None:
    assert ACCOUNT_REGION.match("accounts/0042/regions/r") == {"account": "0042", "region": "r"}
    assert ACCOUNT_REGION.match("accounts/a/regions/0042") is None


def test_a_format_with_other_ids_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="is made of account, region, not of account"):
        ACCOUNT_REGION.format(account="a")
    with pytest.raises(TypeError):
        ACCOUNT_REGION.format(account="a", region="r", policy="p")


def test_every_pattern_of_the_suite_finds_its_own_names_and_no_others() -> None:
    patterns = [value for value in vars(names).values() if isinstance(value, Pattern)]
    made = [pattern.format(**{variable: f"{variable[0]}-1" for variable in pattern.variables}) for pattern in patterns]
    assert len(made) == 14
    for number, name in enumerate(made):
        assert [bool(pattern.match(name)) for pattern in patterns] == [index == number for index in range(14)]
    assert IMAGE_TASK.pattern.endswith("/executions/{execution}/imageTasks/{image_task}")
    assert LOG_TOPIC.pattern.endswith("/logSets/{log_set}/logTopics/{log_topic}")
