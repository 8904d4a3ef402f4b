import pytest

import schemas


def names(schema):
    return [feature.name for feature in schema.feature]


def test_single_texts_have_no_pair_and_their_own_labels():
    schema = schemas.resolve("classification", labels=["부정", "긍정"], slices={"category": []})
    assert names(schema) == ["text", "label", "origin", "category"]
    assert list(schema.string_domain[0].value) == ["부정", "긍정"]


def test_every_feature_is_required_once():
    schema = schemas.resolve("classification", labels=["a", "b"], slices={"category": []}, pair=True)
    assert names(schema) == ["text", "text_pair", "label", "origin", "category"]
    for feature in schema.feature:
        assert feature.presence.min_fraction == 1
        assert feature.HasField("shape")
        assert not feature.shape.dim


def test_slicing_by_the_label_adds_nothing():
    schema = schemas.resolve("classification", labels=["a", "b"], slices={"label": [], "city": ["a", "b"]})
    assert names(schema) == ["text", "label", "origin", "city"]
    assert {domain.name: list(domain.value) for domain in schema.string_domain} == {
        "label": ["a", "b"],
        "city": ["a", "b"],
    }


def test_a_document_has_sentences():
    schema = schemas.resolve("corpus")
    assert names(schema) == ["sentences", "origin"]
    assert schema.feature[0].value_count.min == 1


def test_what_is_dumped_loads(tmp_path):
    schema = schemas.resolve("classification", labels=["부정", "긍정"])
    path = tmp_path / "own.pbtxt"
    path.write_text(schemas.dump(schema))
    assert "부정" in path.read_text()
    assert schemas.load(path) == schema
    assert schemas.resolve("classification", labels=["other", "labels"], path=str(path)) == schema


def test_a_schema_of_ones_own_must_cover_the_records(tmp_path):
    path = tmp_path / "own.pbtxt"
    path.write_text('feature { name: "text" type: BYTES }')
    with pytest.raises(schemas.DataError, match=r"own\.pbtxt: add the feature 'label', which every record here has"):
        schemas.resolve("classification", path=str(path))


def test_a_schema_of_ones_own_must_cover_the_slices(tmp_path):
    path = tmp_path / "own.pbtxt"
    path.write_text(schemas.dump(schemas.resolve("classification", labels=["a", "b"])))
    with pytest.raises(schemas.DataError, match="add the feature 'city'"):
        schemas.resolve("classification", slices={"city": []}, path=str(path))


@pytest.mark.parametrize(
    ("before", "after"),
    [("shape {\n  }", ""), ("min_fraction: 1.0", "min_fraction: 0.5"), ("shape {", "shape { dim {}")],
)
def test_a_schema_of_ones_own_may_not_let_the_text_be_missing(tmp_path, before, after):
    own = schemas.dump(schemas.resolve("classification", labels=["a", "b"], pair=True))
    path = tmp_path / "own.pbtxt"
    path.write_text(own.replace(before, after))
    assert path.read_text() != own
    with pytest.raises(schemas.DataError, match="the feature 'text' stands once in every record, so it needs"):
        schemas.resolve("classification", pair=True, path=str(path))


def test_there_is_no_such_schema(tmp_path):
    with pytest.raises(schemas.DataError, match=r"or one of catalogue, classification, corpus, "):
        schemas.load("summarization")
    path = tmp_path / "own.pbtxt"
    path.write_text("feature {")
    with pytest.raises(schemas.DataError, match=r"own\.pbtxt is not a TFMD schema in text form: 1:9"):
        schemas.load(path)
