import polib
import pytest

from pipeline.start import debian
from pipeline.start.download import FetchError


def catalogue(folder, translations):
    found = polib.POFile()
    found.metadata = {"Content-Type": "text/plain; charset=utf-8", "Plural-Forms": "nplurals=1; plural=0;"}
    found.extend(polib.POEntry(msgid=source, msgstr=text) for source, text in translations.items())
    found.append(polib.POEntry(msgid="row", msgid_plural="rows", msgstr_plural={0: "행 %1개"}))
    (folder / "ko").mkdir()
    found.save_as_mofile(str(folder / "ko/sc.mo"))


def test_strings(tmp_path):
    translations = {
        "~File": "파일(~F)",
        "_Edit": "편집(_E)...",
        "Close": "  닫기\n 합니다 ",
        "Shut": "닫기 합니다",
        "OK": "OK",
        "%FILE_NAME": "%FILE_NAME이(가) 있습니다",
        "~Key": "~GPG 키 0 ~ 9",
        "~Old": "이전 파일(~O)",
    }
    catalogue(tmp_path, translations)
    assert sorted(debian.strings(tmp_path)) == sorted(
        ["파일", "편집...", "닫기 합니다", "%FILE_NAME이(가) 있습니다", "GPG 키 0 ~ 9", "이전 파일", "행 %1개"]
    )


def test_pairs(tmp_path):
    """A key's mark stands anywhere in an English word, and in parentheses behind the Korean text."""
    translations = {
        "~File": "파일(~F)",
        "Re_name...": "이름 바꾸기(_N)...",
        "Fi_nd & repla_ce": "찾기 및 바꾸기(_N)",
        "Close\n it": "  닫기\n 합니다 ",
        "VAR_POP": "VAR_POP",
        "%FILE_NAME": "%FILE_NAME이(가) 있습니다",
        "Broken": "깨진\x97글",
        "Untranslated": "",
    }
    catalogue(tmp_path, translations)
    assert sorted(debian.pairs(tmp_path)) == sorted(
        [
            ("File", "파일"),
            ("Rename...", "이름 바꾸기..."),
            ("Find & repla_ce", "찾기 및 바꾸기"),
            ("Close it", "닫기 합니다"),
            ("VAR_POP", "VAR_POP"),
            ("%FILE_NAME", "%FILE_NAME이(가) 있습니다"),
            ("rows", "행 %1개"),
        ]
    )


def test_a_package_without_catalogues(tmp_path):
    with pytest.raises(FetchError, match="holds no message catalogues"):
        debian.strings(tmp_path)
