"""Arguments that commands refuse before they begin."""

import pytest

from scripts import evaluate

EVALUATE = ["models/shop", "--predictions", "logs"]


@pytest.mark.parametrize("text", ["-1", "0", "nan", "inf", "soon"])
def test_a_pause_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.parse([*EVALUATE, "--every", text])
    assert f"{text!r} is not a number of minutes above 0" in capsys.readouterr().err
    assert evaluate.parse([*EVALUATE, "--every", "0.5"]).every == 0.5
