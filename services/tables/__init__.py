"""Tables of results and the files they are written to: CSV, Parquet, ECSV, LaTeX.

One model of a table, one file per format. Imports pyarrow and astropy only when such a file is asked for.
"""
