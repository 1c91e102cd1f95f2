"""The reference model: a DeepFM as large as rankers have, with random weights, to measure servers by."""

FIELDS = 26
NUMBERS = 13
# Ids of each field, id 0 (missing) included.
IDS = 100_000
EMBEDDING_DIM = 16
HIDDEN = (400, 400, 400)
HORIZON_DAYS = 28
OUTPUT = "ziln"
