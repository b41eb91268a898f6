"""Judgement of a trained model beyond its metrics: intervals, segments, importance, advice."""
