"""The pieces that stand for spans of a text that no model changes: ⟨1⟩ to ⟨8⟩."""

MOST = 8
RESERVED = tuple(f"⟨{number}⟩" for number in range(1, MOST + 1))
