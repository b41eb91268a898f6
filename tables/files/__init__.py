"""Files of tables: CSV, Parquet, Arrow and JSON lines, read with errors in plain words."""
