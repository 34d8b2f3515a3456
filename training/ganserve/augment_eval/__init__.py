"""Do synthetic images help? Classifiers that learn with and without them, held against each other on real images.

`study.Study` is the whole of it: it trains a small classifier for every way to learn (`arms`), on parts of the real
images (`images`) and samples of a generator (`samples`), keeps each result as it comes (`records`), and `report` reads
the figures out of them, with a paired test (`comparison`) and a verdict in words (`verdict`).
"""
