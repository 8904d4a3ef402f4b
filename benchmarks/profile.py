"""What a TensorFlow step spends its time on, by the kind of operation."""

import collections
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2


def of(run: Callable[[], Any], folder: str) -> Mapping[str, float]:
    """Seconds in each kind of operation, the most first. TensorFlow has to run one thread: others are not seen.

    Args:
      run: what is profiled.
      folder: where the profiler writes.
    """
    with tf.profiler.experimental.Profile(f"{folder}/profile"):
        run()
    (file,) = Path(folder, "profile").rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(file.read_bytes())
    found: collections.Counter[str] = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                # An operation is name:Kind, what the runtime does Class::Method.
                name, colon, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if colon and not name.endswith(":") and kind.isidentifier():
                    found[kind] += event.duration_ps / 1e12
    return dict(found.most_common())


def text(seconds: Mapping[str, float], most: int = 20) -> str:
    """A line a kind, with its share."""
    total = sum(seconds.values())
    return "\n".join(
        f"{kind:32} {value:8.2f} s {100 * value / total:5.1f} %" for kind, value in list(seconds.items())[:most]
    )
