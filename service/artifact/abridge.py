"""Abridged manifests: a worker keeps the most frequent values of a long vocabulary, not all."""

from service.artifact.entries import AnyFeature, BagFeature, CategoricalFeature
from service.artifact.manifest import Manifest

MOST_LISTED_VALUES = 10_000
"""Values of a vocabulary that are kept; a million would take 100 MB of each worker."""


def abridge(manifest: Manifest) -> Manifest:
    """Return a manifest whose vocabularies list at most MOST_LISTED_VALUES values.

    `vocabulary_size` tells how many there are where values are left out.
    """
    features = tuple(map(_abridged, manifest.features))
    if all(one is other for one, other in zip(features, manifest.features, strict=True)):
        return manifest
    return manifest.model_copy(update={"features": features})


def _abridged(feature: AnyFeature) -> AnyFeature:
    if not isinstance(feature, CategoricalFeature | BagFeature) or feature.vocabulary is None:
        return feature
    values = len(feature.vocabulary)
    if values <= MOST_LISTED_VALUES:
        return feature
    listed = {"vocabulary": feature.vocabulary[:MOST_LISTED_VALUES], "vocabulary_size": values}
    return feature.model_copy(update=listed)
