import pytest
import tensorflow as tf

from models.text.script import SCRIPTS, script_of, scripts

TEXTS = [
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
]


@pytest.mark.parametrize(("text", "script"), TEXTS)
def test_the_script_of_a_text(text, script):
    assert script_of(text) == script


def test_every_character_has_one():
    assert {script_of(chr(code)) for code in range(128)} == {"Latin", "none"}
    assert all(script_of(chr(code)) for code in range(0, 0x110000, 31))


def test_the_graph_finds_the_same_script():
    texts = [text for text, _ in TEXTS if "\uffff" not in text]  # no text: RE2 takes it for a fault
    texts += ["ქართული abc", "हिन्दी में", "עברית", "Ω abc", "가 中文", "中文 가나다"]
    found = [script.decode() for script in scripts(tf.constant(texts)).numpy()]
    expected = [script if (script := script_of(text)) in SCRIPTS else "another" for text in texts]
    assert found == expected
    assert {"another", "none", "Hangul"} <= set(found)
    assert scripts(tf.constant([], tf.string)).shape == (0,)
