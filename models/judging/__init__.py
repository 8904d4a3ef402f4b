"""How answers are judged: row metrics of the eval split, and what a model is compared with."""
