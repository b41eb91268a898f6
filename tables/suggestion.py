"""Suggestion of a known word for a misspelt one."""

from difflib import get_close_matches


def nearest(word: str, known: list[str]) -> str:
    """Suggest a known word, as "; did you mean 'x'?", or list a few of them."""
    close = get_close_matches(word, known, n=1, cutoff=0.6) or [k for k in known if k.lower() == word.lower()]
    if close:
        return f"; did you mean '{close[0]}'?"
    shown = ", ".join(f"'{k}'" for k in known[:12])
    return f"; known are {shown}{' and more' if len(known) > 12 else ''}" if known else ""
