"""The scalings of the zoo."""

from registry.tables import scalings

scalings.lazy("identity", "zoo.core.scaling:Identity", summary="Data is diffused as it is.")
scalings.lazy("mean-std", "zoo.core.scaling:MeanStd", summary="(data - mean) / std, for all channels or each.")
scalings.lazy("min-max", "zoo.core.scaling:MinMax", summary="[low, high] to [-1, 1], for all channels or each.")
