import struct
import zlib

from pipeline.start import sword

BOOKS = {
    "ot": [
        ["", '<milestone type="x-importer"/>'],
        [
            '<div canonical="true" osisID="Gen" sID="gen2" type="book"/> <title type="main">Genesis</title> x',
            '<chapter n="1" osisID="Gen.1" sID="Gen.1"/> ',
            'In the <w lemma="strong:H7225">beginning</w><note n="a">Heb. <i>first</i></note> &amp; God. ',
            "",
            '<div sID="pv1"/>¶ <w>Light</w><note n="b"/> it was.',
            '<div sID="gen12"/> <chapter n="2" osisID="Gen.2" sID="Gen.2"/> ',
            'End. <chapter eID="Gen.2"/> <div canonical="true" eID="gen2" osisID="Gen" type="book"/>',
        ],
    ],
    "nt": [
        ["", ""],
        [
            '<div canonical="true" osisID="1John" sID="g9" type="book"/>',
            '<chapter n="1" osisID="1John.1" sID="1John.1"/>',
            "Word.",
        ],
    ],
}


def module(folder, change):
    folder.mkdir()
    for part, books in BOOKS.items():
        where, places, packed = b"", b"", b""
        for number, entries in enumerate(books):
            text = b""
            for entry in map(change, entries):
                where += struct.pack("<IIH", number, len(text), len(entry.encode()))
                text += entry.encode()
            block = zlib.compress(text)
            places += struct.pack("<III", len(packed), len(block), len(text))
            packed += block
        for kind, content in (("v", where), ("s", places), ("z", packed)):
            (folder / f"{part}.bz{kind}").write_bytes(content)
    return folder


def test_the_verses_that_two_modules_have(tmp_path):
    first = module(tmp_path / "en", str)
    second = module(tmp_path / "es", lambda entry: entry.replace("Light", "Luz é").replace("Word.", ""))
    assert list(sword.verses(first, second)) == [
        ("Gen", "Gen.1.1", "In the beginning & God.", "In the beginning & God."),
        ("Gen", "Gen.1.3", "Light it was.", "Luz é it was."),
        ("Gen", "Gen.2.1", "End.", "End."),
    ]
    assert list(sword.verses(first, first))[-1] == ("1John", "1John.1.1", "Word.", "Word.")
