"""Brings each public data set into the layout: one module per data set with `adapt(data, out)`."""
