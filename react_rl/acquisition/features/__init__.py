"""Acquisition features: what can be said of each unlabelled row."""

from react_rl.acquisition.features.growth import Growth
from react_rl.acquisition.features.registry import (
    FEATURES,
    NEEDS,
    NOVELTY,
    Feature,
    code_of_feature,
    feature_named,
    is_packaged_feature,
)

__all__ = [
    "FEATURES",
    "NEEDS",
    "NOVELTY",
    "Feature",
    "Growth",
    "code_of_feature",
    "feature_named",
    "is_packaged_feature",
]
