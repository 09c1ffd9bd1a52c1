"""The spacings of the zoo."""

from registry.tables import spacings

spacings.lazy(
    "beta",
    "zoo.spacings.ratios:Beta",
    summary="sigma / alpha by the quantiles of a Beta distribution, dense at both ends.",
    paper="Lee et al. 2024, arXiv 2407.12173",
)
spacings.lazy(
    "diff-svc", "zoo.spacings.times:DiffSVC", summary="Every interval-th time below k_step, as diff-svc walks."
)
spacings.lazy(
    "karras",
    "zoo.spacings.ratios:Karras",
    summary="sigma / alpha by a power law, dense near the data.",
    paper="Karras et al. 2022, arXiv 2206.00364",
)
spacings.lazy(
    "lcm",
    "zoo.spacings.times:LCM",
    summary="Some of the times that a consistency model was distilled at.",
    paper="Luo et al. 2023, arXiv 2310.04378",
)
spacings.lazy(
    "leading",
    "zoo.spacings.times:Leading",
    summary="Multiples of T // N, as DDIM and PNDM walk.",
    paper="Song et al. 2021, arXiv 2010.02502",
)
spacings.lazy("linspace", "zoo.spacings.times:Linspace", summary="Equal steps from the last trained time to the first.")
spacings.lazy(
    "log-snr",
    "zoo.spacings.ratios:LogSNR",
    summary="Equal steps in log(sigma / alpha): exponential, and polyexponential.",
)
spacings.lazy(
    "quadratic",
    "zoo.spacings.times:Quadratic",
    summary="Times by squares, dense near the data.",
    paper="Song et al. 2021, arXiv 2010.02502",
)
spacings.lazy(
    "respaced",
    "zoo.spacings.times:Respaced",
    summary="Sections with a count each, as guided-diffusion walks.",
    paper="Nichol & Dhariwal 2021, arXiv 2102.09672",
)
spacings.lazy(
    "trailing",
    "zoo.spacings.times:Trailing",
    summary="From the very end of the schedule; wastes no evaluation.",
    paper="Lin et al. 2024, arXiv 2305.08891",
)
