"""What TensorFlow Serving 2.20.0 takes, against what newer releases of TensorFlow have."""

import pytest
from google.protobuf import text_format
from tensorflow.core.framework import node_def_pb2, op_def_pb2

from models.export import serving_ops


def faults(text):
    return list(serving_ops.faults(text_format.Parse(text, node_def_pb2.NodeDef())))


CAST = 'op: "Cast" attr { key: "SrcT" value { type: DT_INT32 } } attr { key: "DstT" value { type: DT_FLOAT } }'


@pytest.mark.parametrize(
    ("node", "fault"),
    [
        (CAST, None),
        (f'{CAST} attr {{ key: "_class" value {{ s: "x" }} }}', None),  # an underscore: internal, and never refused
        ('op: "DecodeJxl"', "op DecodeJxl is not linked by TensorFlow Serving 2.20.0"),  # came with TensorFlow 2.21
        # TensorFlow 2.21 gave this operation an attribute more.
        (
            'op: "TensorListGetItem" attr { key: "element_dtype" value { type: DT_FLOAT } } '
            'attr { key: "Tshape" value { type: DT_INT64 } }',
            "op TensorListGetItem has no attribute Tshape in TensorFlow Serving 2.20.0, which would ignore it",
        ),
        (CAST.replace("DT_FLOAT", "DT_FLOAT } } attr { key: 'Truncate' value { b: true"), None),
        (CAST.replace("type: DT_FLOAT", "i: 1"), "op Cast does not take this DstT in TensorFlow Serving 2.20.0"),
        (
            'op: "Cast" attr { key: "SrcT" value { type: DT_INT32 } }',
            "op Cast needs an attribute DstT in TensorFlow Serving 2.20.0",
        ),
        # Of allowed types: no strings are multiplied.
        (
            'op: "MatMul" attr { key: "T" value { type: DT_STRING } }',
            "op MatMul does not take this T in TensorFlow Serving 2.20.0",
        ),
        (
            'op: "Reverse" attr { key: "T" value { type: DT_FLOAT } } attr { key: "x" value { placeholder: "p" } }',
            None,
        ),
        (
            'op: "Concat" attr { key: "N" value { i: 1 } } attr { key: "T" value { type: DT_FLOAT } }',
            "op Concat does not take this N in TensorFlow Serving 2.20.0",  # at least 2
        ),
        (
            'op: "IdentityN" attr { key: "T" value { list { } } }',
            "op IdentityN does not take this T in TensorFlow Serving 2.20.0",  # at least 1
        ),
    ],
)
def test_a_node(node, fault):
    assert faults(node) == ([fault] if fault else [])


def test_what_is_kept_are_the_definitions_of_that_release():
    kept = serving_ops.definitions()
    assert len(kept) == 1911
    assert all(isinstance(op, op_def_pb2.OpDef) and not op.description for op in kept.values())
    cast = kept["Cast"]
    assert [(each.name, each.type) for each in cast.attr] == [("SrcT", "type"), ("DstT", "type"), ("Truncate", "bool")]
    assert {"FastWordpieceTokenizeWithOffsets", "NormalizeUTF8"} < kept.keys()
