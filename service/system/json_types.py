"""Types of JSON values: mypy checks what is built against them, pydantic makes schemas of them."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, GetPydanticSchema

Count = Annotated[int, Field(ge=0)]
"""Whole number from 0."""

Number = Annotated[np.float32, GetPydanticSchema(lambda _, handler: handler(float))]
"""Number of numpy."""

Vector = Annotated[NDArray[np.floating[Any]], GetPydanticSchema(lambda _, handler: handler(list[float]))]
"""Array of numpy (K,)."""

Matrix = Annotated[NDArray[np.floating[Any]], GetPydanticSchema(lambda _, handler: handler(list[list[float]]))]
"""Array of numpy (K, L)."""
