import collections

from components.data import augmentation

TEXTS = [(b"a gorgeous , witty film",), (b"dull",), (b"",)] * 200


def test_variants_are_the_texts_with_some_words_exchanged_or_a_few_in_a_row():
    found = list(augmentation.variants(TEXTS, 3))
    assert found == list(augmentation.variants(TEXTS, 3))
    assert len(found) == 3 * len(TEXTS)
    words = {word for (text,) in TEXTS for word in text.split()}
    assert {word for (text,) in found for word in text.split()} == words
    whole = [text.split() for (text,) in found[: 3 * len(TEXTS)] if len(text.split()) == 5]
    exchanged = sum(a != b for text in whole for a, b in zip(text, TEXTS[0][0].split(), strict=True))
    # A fifth of the words is drawn anew, and one in six draws gives the word that was there.
    assert 0.1 < exchanged / (5 * len(whole)) < 0.23
    lengths = collections.Counter(len(text.split()) for (text,) in found)
    # Of the 600 variants of five words a quarter is cut, to 1 to 5 words alike.
    assert all(10 < lengths[length] < 50 for length in (2, 3, 4))
    assert lengths[0] == 600


def test_both_texts_of_a_pair_are_varied():
    found = list(augmentation.variants([(b"a b c", b"d e f")] * 50, 1))
    assert all(len(each) == 2 for each in found)
    assert len({first for first, _ in found}) > 5
    assert len({second for _, second in found}) > 5
