"""The parameterizations of the zoo."""

from registry.tables import parameterizations

parameterizations.lazy(
    "edm",
    "zoo.parameterizations:Edm",
    summary="EDM's preconditioned output F.",
    paper="Karras et al. 2022, arXiv 2206.00364",
)
parameterizations.lazy(
    "eps",
    "zoo.parameterizations:Eps",
    summary="The network predicts the noise.",
    paper="Ho et al. 2020, arXiv 2006.11239",
)
parameterizations.lazy(
    "flow",
    "zoo.parameterizations:Flow",
    summary="The network predicts the velocity of a straight path.",
    paper="Liu et al. 2023, arXiv 2209.03003",
)
parameterizations.lazy(
    "iddpm-precond",
    "zoo.parameterizations:IDDPMPrecond",
    summary="The noise, from a network that knows the trained noise levels of improved DDPM by number.",
    paper="Karras et al. 2022, arXiv 2206.00364",
)
parameterizations.lazy(
    "score",
    "zoo.parameterizations:Score",
    summary="The network predicts the score.",
    paper="Song et al. 2021, arXiv 2011.13456",
)
parameterizations.lazy(
    "v",
    "zoo.parameterizations:V",
    summary="The network predicts v = alpha eps - sigma x_0.",
    paper="Salimans & Ho 2022, arXiv 2202.00512",
)
parameterizations.lazy(
    "ve-precond",
    "zoo.parameterizations:VEPrecond",
    summary="The negative noise, from a network of variance-exploding scores.",
    paper="Karras et al. 2022, arXiv 2206.00364",
)
parameterizations.lazy(
    "vp-precond",
    "zoo.parameterizations:VPPrecond",
    summary="The noise, from a network of variance-preserving scores.",
    paper="Karras et al. 2022, arXiv 2206.00364",
)
parameterizations.lazy("x0", "zoo.parameterizations:X0", summary="The network predicts the data.")
