"""Reading rows: files, kinds of values, text of cells; polars alone, for model/ and batch/."""
