"""The schedules of the zoo."""

from registry.tables import schedules

schedules.lazy(
    "cosine",
    "zoo.schedules.alpha_bar:Cosine",
    summary="The capped cosine of improved DDPM.",
    paper="Nichol & Dhariwal 2021, arXiv 2102.09672",
    facts={"time": "discrete", "path": "vp"},
)
schedules.lazy(
    "diffsinger",
    "zoo.schedules.beta:DiffSinger",
    summary="beta linear from 1e-4 to max_beta: DiffSinger and diff-svc.",
    paper="Liu et al. 2022, arXiv 2105.02446",
    facts={"time": "discrete", "path": "vp"},
)
schedules.lazy(
    "edm",
    "zoo.schedules.continuous:EDM",
    summary="Time is the noise level: alpha = 1, sigma = t.",
    paper="Karras et al. 2022, arXiv 2206.00364",
    facts={"time": "continuous", "path": "ve"},
)
schedules.lazy(
    "exponential",
    "zoo.schedules.alpha_bar:Exponential",
    summary="alpha_bar falls by the same factor at every step.",
    facts={"time": "discrete", "path": "vp"},
)
schedules.lazy(
    "flow",
    "zoo.schedules.continuous:Flow",
    summary="The straight path of rectified flow.",
    paper="Liu et al. 2023, arXiv 2209.03003",
    facts={"time": "continuous", "path": "flow"},
)
schedules.lazy(
    "jabri-sigmoid",
    "zoo.schedules.alpha_bar:JabriSigmoid",
    summary="alpha_bar a sigmoid of t: lucidrains' default.",
    paper="Jabri et al. 2023, arXiv 2212.11972",
    facts={"time": "discrete", "path": "vp"},
)
schedules.lazy(
    "jsd",
    "zoo.schedules.beta:JSD",
    summary="alpha_bar falls in equal steps to pure noise.",
    paper="Sohl-Dickstein et al. 2015, arXiv 1503.03585",
    facts={"time": "discrete", "path": "vp"},
)
schedules.lazy(
    "laplace",
    "zoo.schedules.alpha_bar:Laplace",
    summary="log SNR by a Laplace distribution, dense around SNR = 1.",
    paper="Hang et al. 2024, arXiv 2407.03297",
    facts={"time": "discrete", "path": "vp"},
)
schedules.lazy(
    "linear",
    "zoo.schedules.beta:Linear",
    summary="beta linear in t: DDPM.",
    paper="Ho et al. 2020, arXiv 2006.11239",
    facts={"time": "discrete", "path": "vp"},
)
schedules.lazy(
    "scaled-linear",
    "zoo.schedules.beta:ScaledLinear",
    summary="sqrt(beta) linear in t: latent diffusion.",
    paper="Rombach et al. 2022, arXiv 2112.10752",
    facts={"time": "discrete", "path": "vp"},
)
schedules.lazy(
    "sigmoid",
    "zoo.schedules.beta:Sigmoid",
    summary="beta a sigmoid of t: GeoDiff, DDIM's code.",
    paper="Xu et al. 2022, arXiv 2203.02923",
    facts={"time": "discrete", "path": "vp"},
)
schedules.lazy(
    "sub-vp",
    "zoo.schedules.continuous:SubVP",
    summary="The sub-variance-preserving path of score SDEs.",
    paper="Song et al. 2021, arXiv 2011.13456",
    facts={"time": "continuous", "path": "sub-vp"},
)
schedules.lazy(
    "table",
    "zoo.schedules.beta:Table",
    summary="The alpha_bar table that came with somebody's weights.",
    facts={"time": "discrete", "path": "vp"},
)
schedules.lazy(
    "ve",
    "zoo.schedules.continuous:VE",
    summary="Variance exploding: sigma geometric in t.",
    paper="Song et al. 2021, arXiv 2011.13456",
    facts={"time": "continuous", "path": "ve"},
)
schedules.lazy(
    "vp",
    "zoo.schedules.continuous:VP",
    summary="The continuous linear schedule of score SDEs.",
    paper="Song et al. 2021, arXiv 2011.13456",
    facts={"time": "continuous", "path": "vp"},
)
schedules.lazy(
    "vp-cosine",
    "zoo.schedules.continuous:VPCosine",
    summary="alpha and sigma as cosine and sine of an angle.",
    paper="Salimans & Ho 2022, arXiv 2202.00512",
    facts={"time": "continuous", "path": "vp"},
)
