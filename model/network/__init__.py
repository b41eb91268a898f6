"""Networks: encoder, multi-task model, fast training layout."""
