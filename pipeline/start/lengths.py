"""How many tokens records have: counted on a sample, by the vocabulary that a run will use.

A checkpoint and a ``vocab.txt`` are read. A vocabulary that is to be learned is learned here too, from the sample, in
the steps of ``models.text.wordpiece``; it takes a second. Nothing here imports TensorFlow.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.records.kind import Kind
from components.records.record import Part, Record
from configs.experiment import Experiment
from models import task as tasks
from models.checkpoints import checkpoint

# Records of a source that are kept; of them, so many letters are counted, and the vocabulary is learned from more.
SAMPLE = 4_000
_COUNTED, _LEARNED = 2_000_000, 8_000_000
_MIN_FREQUENCY = 2  # of a merge, as the run has it
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

Texts = Sequence[str]
Measure = Callable[[Sequence[Texts]], float]


class Sample:
    """Records from all over a source, each as likely as another (Vitter 1985, algorithm R)."""

    def __init__(self) -> None:
        self.kept: list[Texts] = []
        self._seen = 0
        self._chance = random.Random(0)

    def add(self, texts: Texts) -> None:
        """Counts a record, and keeps it or not."""
        self._seen += 1
        if len(self.kept) < SAMPLE:
            self.kept.append(texts)
        elif (place := self._chance.randrange(self._seen)) < SAMPLE:
            self.kept[place] = texts


def texts_of(record: Record | Part, kind: Kind[Any]) -> list[str]:
    """What a network reads of a record, text by text."""
    if isinstance(record, Part):
        given = record.content[:2] if kind.name == "parallel" else record.content
        return [text for text in given if isinstance(text, str)]
    texts = [text for name in kind.texts for text in record.features.get(name, [])]
    return [text.decode() for text in texts if isinstance(text, bytes)]


def measure(experiment: Experiment, kind: Kind[Any], start: Path | None) -> Measure:
    """What gives the mean length of records in tokens, special ones included, as they are trained on.

    Args:
      experiment: its vocabulary, and its task's ``max_length``.
      kind: of the records.
      start: a Hugging Face folder, where the experiment has a checkpoint.
    """

    def mean(records: Sequence[Texts]) -> float:
        count = _counter(experiment, start, records)
        taken = list(_within(records, _COUNTED))
        flat = count([text for texts in taken for text in texts])
        lengths = iter(flat)
        of_records = [list(itertools.islice(lengths, len(texts))) for texts in taken]
        return sum(read(of_texts, experiment, kind.name) for of_texts in of_records) / max(1, len(of_records))

    return mean


def read(pieces: Sequence[int], experiment: Experiment, kind: str) -> float:
    """Tokens of a record that an epoch reads, special ones included.

    Args:
      pieces: of each of its texts.
      experiment: whose task cuts them.
      kind: of the record.
    """
    if kind == "corpus" or experiment.task is None:
        return sum(pieces)
    if kind == "parallel":
        return sum(pieces) + 3  # [SEP] of the source; [CLS] and [SEP] of the translation
    own = experiment.task.own()
    limit = int(own.get("max_length", sum(pieces) + 3))
    if "stride" in own and len(pieces) == 2:
        return _windows(pieces[0], pieces[1], own)
    if tasks.load(experiment.task.type).separate_encoding:
        return sum(min(each + 2, limit) for each in pieces)
    return min(sum(pieces) + len(pieces) + 1, limit)


def _windows(question: int, context: int, own: Mapping[str, Any]) -> int:
    """As ``models.tasks.question_answering`` cuts them."""
    question = min(question, own["max_question"]) + 2
    room = own["max_length"] - question - 1
    count = 1 + -(-max(context - room, 0) // own["stride"])
    return int(sum(question + min(room, context - number * own["stride"]) + 1 for number in range(count)))


def _counter(experiment: Experiment, start: Path | None, records: Sequence[Texts]) -> Callable[[list[str]], list[int]]:
    """Gives the pieces of each text."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    given = experiment.vocabulary
    mode: str = experiment.text.mode or "bert_uncased"
    reserved = list(given.reserve) if given else []
    if start:
        known = checkpoint.read(start)
        vocabulary, mode = list(known.vocabulary), str(known.rules["mode"])
    elif given and given.path:
        vocabulary = Path(given.path).read_text("utf-8").splitlines()
    else:
        vocabulary = []
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=400))
    tokenizer.normalizer = _normalizer(mode)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if vocabulary:
        pieces = {piece: number for number, piece in enumerate(vocabulary)}
        tokenizer.model = models.WordPiece(pieces, unk_token="[UNK]", max_input_chars_per_word=400)
    else:
        _learn(tokenizer, records, given.learn if given and given.learn else 30_522, reserved)

    def count(texts: list[str]) -> list[int]:
        return [len(each.ids) for each in tokenizer.encode_batch(texts, add_special_tokens=False)]

    return count


def _learn(tokenizer: Any, records: Sequence[Texts], size: int, reserved: list[str]) -> None:
    from tokenizers import trainers

    texts = [text for record in _within(records, _LEARNED) for text in record]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=_MIN_FREQUENCY,
        special_tokens=[*_SPECIAL, *reserved],
        continuing_subword_prefix="##",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)


def _normalizer(mode: str) -> Any:
    """As ``models.text.tokenizer_json``, less the rules that a count does not depend on."""
    from tokenizers import normalizers

    lower = mode in ("bert_uncased", "uncased_nfc")
    bert = normalizers.BertNormalizer(lowercase=lower, strip_accents=mode == "bert_uncased")
    return bert if mode == "bert_uncased" else normalizers.Sequence([bert, normalizers.NFC()])


def _within(records: Sequence[Texts], letters: int) -> Iterator[Texts]:
    """The first records that together have so many letters; one at least."""
    for number, texts in enumerate(records):
        if letters <= 0 and number:
            return
        letters -= sum(map(len, texts))
        yield texts
