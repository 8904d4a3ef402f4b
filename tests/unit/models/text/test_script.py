import pytest

from models.text.script import script_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Hello, world", "Latin"),
        ("ｆｕｌｌ ｗｉｄｔｈ", "Latin"),
        ("½ 12 % – ∑ 🙂", "none"),
        ("", "none"),
        ("차트를 삽입합니다", "Hangul"),
        ("%PRODUCTNAME Writer 차트", "Hangul"),  # names are Latin everywhere
        ("ᄀ", "Hangul"),
        ("日本語のテキスト", "Han or Kana"),
        ("ﾃｷｽﾄ", "Han or Kana"),
        ("中文", "Han or Kana"),
        ("Привет, world", "Cyrillic"),
        ("ภาษาไทย", "Thai"),
        ("عربي", "Arabic"),
        ("μέρα", "Greek"),
        ("\U000e0001\uffff", "none"),
    ],
)
def test_the_script_of_a_text(text, script):
    assert script_of(text) == script


def test_every_character_has_one():
    assert {script_of(chr(code)) for code in range(128)} == {"Latin", "none"}
    assert all(script_of(chr(code)) for code in range(0, 0x110000, 31))
