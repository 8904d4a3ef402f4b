"""Sentences of English and Korean running text."""

import pytest

from components.records.sentences import split


@pytest.mark.parametrize(
    "sentences",
    [
        ["He left at 3.14 p.m. with Mr. Smith.", "Did she stay?", "Yes!", '"Come in," she said.'],
        ["Wait... what?", "It cost $1.50, i.e. nothing."],
        ["오늘은 날씨가 좋았다.", "정말 즐거웠어요!", "너도 갈래?", "글쎄… 잘 모르겠어.", "원주율은 3.14다."],
        ["그는 “좋아!”라고 말했다.", '그녀도 "좋아."라고 했다.', "“집에 가.”", "그녀가 대답했다."],
        ["(주)한국은 A.B.C. 회사와 계약했다.", "김 박사는 Dr. Kim이다."],
    ],
)
def test_sentences_are_found_again_in_running_text(sentences):
    assert split(" ".join(sentences)) == sentences


def test_marks_without_a_space_behind_them():
    assert split("그는 웃었다.그녀도 웃었다.") == ["그는 웃었다.", "그녀도 웃었다."]
    assert split("他笑了。她也笑了！") == ["他笑了。", "她也笑了！"]


def test_blank_lines_end_a_sentence_and_leave_nothing():
    assert split("A heading\n\nShe stayed.\n\n") == ["A heading", "She stayed."]
