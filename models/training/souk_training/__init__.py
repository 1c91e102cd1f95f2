"""Training of Souk's models: from public data to a version folder that the server loads.

Layout of the package:

- `schema`, `manifest`, `encode`: what a row and a manifest are, and how rows become tensors;
- `layout`, `adapters`: the plain tables that training reads, and how each data set is brought into them;
- `deepfm`, `golden`, `export`, `card`: building a model and writing its version folder;
- `gmv`, `portrait`: the two tasks.

Everything above `deepfm` needs numpy, pandas and xxhash only.
"""
