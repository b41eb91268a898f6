"""Rule for the names of features.

The service checks it too; docs/artifact.md states it under "Names".
"""

from tables.errors import DataError

LONGEST_NAME = 1000
"""Characters of a feature's name at most."""


def check_feature_name(name: str, column: int) -> None:
    """Refuse a column whose name no feature may have.

    Args:
        name: of the column.
        column: its place in the table, from 1, for the message.

    Raises:
        DataError: the name is empty or too long.
    """
    if not name:
        raise DataError(f"column {column} has no name, and a feature needs one; name it in the file")
    if len(name) > LONGEST_NAME:
        raise DataError(
            f"the name of column {column}, '{name[:40]}...', has {len(name):,} characters, and a feature's has "
            f"{LONGEST_NAME:,} at most; shorten it in the file or in data.columns, or add it to data.drop"
        )
