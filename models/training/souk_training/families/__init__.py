"""The model families that data teams bring: each learns both tasks, is exported, served and compared.

One module a family; what they share is in `fields`. `gmv` and `portraits` put a family behind a task's inputs and
outputs, `trees` turns boosters into tensors, `compare` trains, serves and measures them all. None of this is
shipped: it says what each family costs and is worth on the same data, and that what is served is what was trained.
"""
