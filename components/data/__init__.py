"""The nodes from files to transformed records: ExampleGen, its digest and gate, VocabularyGen, Transform."""
