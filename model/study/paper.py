"""Figures of Ma et al., KDD 2018, for comparison; those read off plots are approximate."""

from typing import Final

from model.mmoe import Architecture

NAMES: Final[dict[Architecture, str]] = {"shared_bottom": "Shared-Bottom", "omoe": "OMoE", "mmoe": "MMoE"}

LABEL_PEARSON: Final[dict[float, float]] = {
    0.4: 0.05,
    0.5: 0.07,
    0.6: 0.10,
    0.7: 0.13,
    0.8: 0.19,
    0.9: 0.30,
    0.95: 0.45,
    0.98: 0.66,
    1.0: 1.0,
}
"""Fig. 2: Pearson correlation of the labels by the cosine of the weight vectors."""

END_LOSSES: Final[dict[tuple[Architecture, float], float]] = {
    ("shared_bottom", 0.5): 0.255,
    ("shared_bottom", 0.9): 0.22,
    ("shared_bottom", 1.0): 0.20,
    ("omoe", 0.5): 0.145,
    ("omoe", 0.9): 0.118,
    ("omoe", 1.0): 0.078,
    ("mmoe", 0.5): 0.082,
    ("mmoe", 0.9): 0.081,
    ("mmoe", 1.0): 0.070,
}
"""Fig. 4: mean loss over 200 runs at the end of training, by architecture and cosine."""

CENSUS: Final[dict[str, dict[Architecture, tuple[float, float, float]]]] = {
    "census_income": {
        "single_task": (0.9398, 0.9337, 0.9922),
        "shared_bottom": (0.9361, 0.9295, 0.9921),
        "omoe": (0.9387, 0.9319, 0.9923),
        "mmoe": (0.9410, 0.9359, 0.9927),
    },
    "census_education": {
        "single_task": (0.8843, 0.8792, 0.9922),
        "shared_bottom": (0.8836, 0.8813, 0.9917),
        "omoe": (0.8852, 0.8813, 0.9912),
        "mmoe": (0.8860, 0.8826, 0.9924),
    },
}
"""§6.3, by our configuration's name: AUC of the main task, best and mean, then never married's."""

CENSUS_TRAINING_BLOB: Final = "57d8bff516af70a99c0cd5b31bde3168b592cffb"
"""Git's id of the archive's training file, which the paper's split needs."""
