from tables.suggestion import nearest


def test_a_misspelt_word_gets_the_nearest_known_one() -> None:
    assert nearest("colum", ["row", "column"]) == "; did you mean 'column'?"
    assert nearest("AGE", ["age", "size"]) == "; did you mean 'age'?"


def test_a_word_like_no_other_gets_the_known_ones_listed() -> None:
    assert nearest("x", ["row", "column"]) == "; known are 'row', 'column'"
    assert nearest("x", [f"column {n}" for n in range(100)]).endswith("'column 11' and more")
    assert nearest("x", []) == ""
