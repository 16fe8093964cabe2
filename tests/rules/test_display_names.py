"""Rules P1 and P2, string by string: what a policy may be called, and how long its description may be."""

import unicodedata
from collections.abc import Iterator

import pytest

from autoimage.policy.v1.policy_service_pb2 import DeletePolicyRequest, ListPoliciesRequest
from servicekit.errors import Code
from tests.support import error_of
from tests.support.policy_service import PLACE, PolicyService, running_policy_service

ALLOWED = {
    "one letter": "a",
    "first and last letters": "AZaz",
    "digits": "0123456789",
    "a digit first": "7days",
    "only a dash": "-",
    "only a low line": "_",
    "a dash first and last": "-daily-",
    "all kinds": "Aa0_-备份",
    "one Han character": "备",
    "simplified Han": "每日自动备份策略",
    "traditional Han": "每日自動備份策略",
    "Han as Japanese writes it": "毎日複製",
    "Han as Korean writes it": "每日備份大韓民國",
    "the iteration mark": "人々",
    "the number zero": "二〇二六",
    "the vertical iteration mark": "各〻",
    "Hangzhou numerals": "〡〢〣",
    "the first and last of the basic block": "\u4e00\u9fff",
    "Extension A": "\u3400\u4dbf",
    "Extension B, four bytes each": "𠀀𠮷𪛟",
    "Extension C": "\U0002a700\U0002b734",
    "Extension D": "\U0002b740\U0002b81d",
    "Extension E": "\U0002b820\U0002cea1",
    "Extension F": "\U0002ceb0\U0002ebe0",
    "Extension G": "\U00030000\U0003134a",
    "Extension H": "\U00031350\U000323af",
    "compatibility ideographs": "\uf900\ufad9",
    "compatibility ideographs, four bytes each": "\U0002f800\U0002fa1d",
    "radicals": "\u2e80\u2fd5",
    "31 code points": "a" * 31,
    "32 letters": "a" * 32,
    "32 Han characters": "备" * 32,
    "32 Han characters of four bytes": "𠮷" * 32,
    "32 code points of all kinds": "备𠮷a-" * 8,
    "words that mean something to programs": "null",
    "what looks like an option": "--help",
}

REFUSED = {
    "nothing": "",
    "a blank": " ",
    "a blank first": " daily",
    "a blank last": "daily ",
    "a blank inside": "daily backup",
    "a tab": "daily\tbackup",
    "a line feed last, which $ overlooks": "daily\n",
    "a line feed first": "\ndaily",
    "a carriage return last": "daily\r",
    "a line feed after 31 others": "a" * 31 + "\n",
    "NUL": "daily\0",
    "a control character": "daily\x07",
    "the delete character": "daily\x7f",
    "a control character of the upper half": "daily\x85",
    "a no-break space": "daily\u00a0backup",
    "an ideographic space": "备份\u3000策略",
    "a zero-width space": "daily\u200b",
    "a zero-width joiner": "备\u200d份",
    "a zero-width non-joiner": "daily\u200c",
    "a byte order mark": "\ufeffdaily",
    "a right-to-left override": "daily\u202e",
    "a line separator": "daily\u2028",
    "a soft hyphen": "dai\u00adly",
    "a variation selector": "葛\ufe00",
    "an ideographic variation selector": "葛\U000e0100",
    "a dot": "daily.backup",
    "a slash": "daily/backup",
    "a colon": "daily:backup",
    "an at sign": "daily@backup",
    "a quotation mark": "daily'",
    "a percent sign": "daily%",
    "an asterisk": "daily*",
    "brackets": "[daily]",
    "a backslash": "daily\\d",
    "what lies before and after letters and digits": "/:@[`{",
    "an en dash": "daily–backup",
    "a minus sign": "daily−backup",
    "a hyphen that is none of ASCII": "daily‐backup",
    "full-width letters": "Ｄａｉｌｙ",
    "full-width digits": "２０２６",
    "a full-width low line": "daily＿backup",
    "Han punctuation": "备份。",
    "a Han list comma": "每日、每周",
    "Han quotation marks": "「备份」",
    "the Han closing mark, which is of no script": "〆切",
    "the middle dot of Katakana": "备・份",
    "a circled ideograph": "㊗",
    "a parenthesized ideograph": "㈠",
    "a stroke": "\u31c0",
    "an ideographic description": "⿰亻尔",
    "Hiragana": "まいにち",
    "Katakana": "バックアップ",
    "the prolonged sound mark": "备ー",
    "Bopomofo": "ㄅㄆㄇ",
    "Hangul": "매일",
    "Hangul that is composed of letters": unicodedata.normalize("NFD", "매일"),
    "Cyrillic that looks like Latin": "dаily",
    "Greek": "ημέρα",
    "Hebrew": "יומי",
    "Arabic": "يومي",
    "Devanagari": "दैनिक",
    "Thai": "ทุกวัน",
    "Latin with an accent": "journée",
    "Latin with a combining accent": unicodedata.normalize("NFD", "journée"),
    "Han with a combining mark": "备\u0301",
    "a combining mark alone": "\u0301",
    "the long s, which folds to s": "ſ",
    "the Kelvin sign, which folds to k": "\u212a",
    "the dotless i": "ı",
    "a ligature": "ﬁrst",
    "Arabic-Indic digits": "٠١٢٣",
    "Extended Arabic-Indic digits": "۱۲",
    "Devanagari digits": "१२",
    "a superscript digit": "v²",
    "a Roman numeral": "Ⅳ",
    "a vulgar fraction": "½",
    "mathematical letters of four bytes": "𝐝𝐚𝐢𝐥𝐲",
    "an emoji": "😀",
    "an emoji after Han": "备份😀",
    "a family of emoji": "👨‍👩‍👧",
    "a flag": "🇨🇳",
    "a keycap": "1\ufe0f\u20e3",
    "private use": "\ue000",
    "private use of four bytes": "\U000f0000",
    "a noncharacter": "\uffff",
    "the last code point": "\U0010ffff",
    "33 letters": "a" * 33,
    "33 Han characters": "备" * 33,
    "33 Han characters of four bytes": "𠮷" * 33,
    "a thousand": "a" * 1000,
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolicyService]:
    """One service for all: to start one takes longer than to try a name."""
    with running_policy_service(tmp_path_factory.mktemp("policies")) as service:
        yield service


@pytest.fixture
def service(running: PolicyService) -> Iterator[PolicyService]:
    """Without policies."""
    yield running
    for policy in running.policies.ListPolicies(ListPoliciesRequest(parent=PLACE)).policies:
        running.policies.DeletePolicy(DeletePolicyRequest(name=policy.name))


@pytest.mark.rule("P1")
@pytest.mark.parametrize("name", ALLOWED.values(), ids=ALLOWED.keys())
def test_a_display_name_that_is_allowed_is_kept_as_it_is(service: PolicyService, name: str) -> None:
    assert service.create(display_name=name).display_name == name
    assert service.get().display_name == name


@pytest.mark.rule("P1")
@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED.keys())
def test_a_display_name_that_is_not_allowed_is_refused(service: PolicyService, name: str) -> None:
    error = error_of(service.create, display_name=name)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert [each.field for each in error.violations] == ["policy.display_name"]
    assert error_of(service.get).code == Code.NOT_FOUND


@pytest.mark.rule("P2")
@pytest.mark.parametrize(
    "description",
    [
        "a" * 255,
        "a" * 256,
        "备" * 256,
        "𠮷" * 256,
        "😀" * 256,
        "e\u0301" * 128,
        "二行\r\n\ttwo lines, any \u200b characters — even 😀 👨‍👩‍👧 ٣ \u202e",
        " ",
    ],
    ids=lambda text: f"{len(text)} code points, {len(text.encode())} bytes",
)
def test_a_description_of_up_to_256_code_points_is_kept_as_it_is(service: PolicyService, description: str) -> None:
    assert service.create(description=description).description == description
    assert service.get().description == description


@pytest.mark.rule("P2")
@pytest.mark.parametrize(
    "description",
    ["a" * 257, "备" * 257, "𠮷" * 257, "😀" * 257, "e\u0301" * 128 + "e", " " * 257, "𠮷" * 256 + "\n"],
    ids=lambda text: f"{len(text)} code points, {len(text.encode())} bytes",
)
def test_a_description_of_257_code_points_is_refused(service: PolicyService, description: str) -> None:
    error = error_of(service.create, description=description)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert [each.field for each in error.violations] == ["policy.description"]
    assert error_of(service.get).code == Code.NOT_FOUND
