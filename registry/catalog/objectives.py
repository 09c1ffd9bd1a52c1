"""The objectives of the zoo."""

from registry.tables import objectives

objectives.lazy(
    "log-normal",
    "zoo.objectives:LogNormal",
    summary="Noise levels from a log-normal distribution.",
    paper="Karras et al. 2022, arXiv 2206.00364",
)
objectives.lazy(
    "min-snr",
    "zoo.objectives:MinSNR",
    summary="Uniform times, the error of x_0 weighed by min(SNR, gamma).",
    paper="Hang et al. 2023, arXiv 2303.09556",
)
objectives.lazy(
    "p2",
    "zoo.objectives:P2",
    summary="Uniform times, the error of eps weighed by 1 / (k + SNR)^gamma.",
    paper="Choi et al. 2022, arXiv 2204.00227",
)
objectives.lazy(
    "uniform",
    "zoo.objectives:Uniform",
    summary="L_simple: every time alike.",
    paper="Ho et al. 2020, arXiv 2006.11239",
)
