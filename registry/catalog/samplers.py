"""The samplers of the zoo."""

from registry.tables import samplers

samplers.lazy(
    "ddim",
    "zoo.samplers.ddim:DDIM",
    summary="The implicit family between the probability-flow ODE and ancestral sampling.",
    paper="Song et al. 2021, arXiv 2010.02502",
    facts={"order": 1, "nfe": "N", "stochastic": "eta > 0", "pure_noise": True},
)
samplers.lazy(
    "ddpm",
    "zoo.samplers.ddpm:DDPM",
    summary="Ancestral sampling with a fixed or a learned variance.",
    paper="Ho et al. 2020, arXiv 2006.11239",
    facts={"order": 1, "nfe": "N", "stochastic": True, "pure_noise": True},
)
samplers.lazy(
    "deis",
    "zoo.samplers.deis:DEIS",
    summary="Adams-Bashforth on the noise prediction, exact in t, rho or log rho.",
    paper="Zhang & Chen 2023, arXiv 2204.13902",
    facts={"order": "p", "nfe": "N", "stochastic": False, "pure_noise": True},
)
samplers.lazy(
    "dpm-2m-sde",
    "zoo.samplers.dpm_2m_sde:DPM2MSDE",
    summary="DPM-Solver (2M) for the reverse SDE, on predictions of the noise.",
    paper="Lu et al. 2022, arXiv 2211.01095",
    facts={"order": 2, "nfe": "N", "stochastic": True, "pure_noise": False},
)
samplers.lazy(
    "dpm-adaptive",
    "zoo.samplers.dpm_adaptive:DPMAdaptive",
    summary="DPM-Solver-12 and -23: steps as long as a tolerance allows.",
    paper="Lu et al. 2022, arXiv 2206.00927",
    facts={"order": "p", "stochastic": False, "pure_noise": False},
)
samplers.lazy(
    "dpm-fast",
    "zoo.samplers.dpm_fast:DPMFast",
    summary="DPM-Solver of a given budget: steps of order up to 3, one evaluation a row.",
    paper="Lu et al. 2022, arXiv 2206.00927",
    facts={"order": "p", "nfe": "N", "stochastic": False, "pure_noise": True},
)
samplers.lazy(
    "dpm-multistep",
    "zoo.samplers.dpm_multistep:DPMMultistep",
    summary="DPM-Solver and DPM-Solver++ as multistep methods of order 1 to 3.",
    paper="Lu et al. 2022, arXiv 2211.01095",
    facts={"order": "p", "nfe": "N", "stochastic": False, "pure_noise": True},
)
samplers.lazy(
    "dpm-solver",
    "zoo.samplers.dpm_solver:DPMSolver",
    summary="Single steps of order 1, 2 or 3 in the log of the signal-to-noise ratio.",
    paper="Lu et al. 2022, arXiv 2206.00927",
    facts={
        "order": "p",
        "nfe": "3 N - 2 (order 3), 2 N - 1 (order 2), N (order 1)",
        "stochastic": False,
        "pure_noise": True,
    },
)
samplers.lazy(
    "dpm2",
    "zoo.samplers.dpm2:DPM2",
    summary="The midpoint rule between noise levels, the middle on a logarithmic scale.",
    paper="Karras et al. 2022, arXiv 2206.00364",
    facts={"order": 2, "nfe": "2 N - 1", "stochastic": "s_churn > 0", "pure_noise": True},
)
samplers.lazy(
    "dpm2-ancestral",
    "zoo.samplers.dpm2_ancestral:DPM2Ancestral",
    summary="DPM2, the midpoint rule in log noise, with ancestral noise.",
    paper="Karras et al. 2022, arXiv 2206.00364",
    facts={"order": 2, "nfe": "2 N - 1", "stochastic": "eta > 0", "pure_noise": True},
)
samplers.lazy(
    "dpmpp-2m",
    "zoo.samplers.dpmpp_2m:DPMpp2M",
    summary="DPM-Solver++ (2M): second order from one evaluation a step, with or without noise.",
    paper="Lu et al. 2022, arXiv 2211.01095",
    facts={"order": 2, "nfe": "N", "stochastic": "eta > 0", "pure_noise": True},
)
samplers.lazy(
    "dpmpp-2s",
    "zoo.samplers.dpmpp_2s:DPMpp2S",
    summary="DPM-Solver++ (2S): single steps of second order on the data prediction.",
    paper="Lu et al. 2022, arXiv 2211.01095",
    facts={"order": 2, "nfe": "2 N - 1", "stochastic": False, "pure_noise": True},
)
samplers.lazy(
    "dpmpp-2s-ancestral",
    "zoo.samplers.dpmpp_2s_ancestral:DPMpp2SAncestral",
    summary="DPM-Solver++ (2S) with ancestral noise: a midpoint step on predictions of the data.",
    paper="Lu et al. 2022, arXiv 2211.01095",
    facts={"order": 2, "nfe": "2 N - 1", "stochastic": "eta > 0", "pure_noise": True},
)
samplers.lazy(
    "dpmpp-3m",
    "zoo.samplers.dpmpp_3m:DPMpp3M",
    summary="DPM-Solver++ (3M): three evaluations remembered, with or without noise.",
    paper="Lu et al. 2022, arXiv 2211.01095",
    facts={"order": 3, "nfe": "N", "stochastic": "eta > 0", "pure_noise": True},
)
samplers.lazy(
    "dpmpp-sde",
    "zoo.samplers.dpmpp_sde:DPMppSDE",
    summary="DPM-Solver++ (SDE): a single step of two stages, each with noise.",
    paper="Lu et al. 2022, arXiv 2211.01095",
    facts={"order": 2, "nfe": "2 N - 1", "stochastic": "eta > 0", "pure_noise": True},
)
samplers.lazy(
    "er-sde",
    "zoo.samplers.er_sde:ERSDE",
    summary="Taylor steps for reverse SDEs whose noise is a chosen function of the noise level.",
    paper="Cui et al. 2023, arXiv 2309.06169",
    facts={"order": "min(p, 2)", "nfe": "N", "stochastic": "scale != 'ode'", "pure_noise": True},
)
samplers.lazy(
    "euler",
    "zoo.samplers.euler:Euler",
    summary="Euler's rule in the noise-to-signal ratio, with churn if wanted.",
    paper="Karras et al. 2022, arXiv 2206.00364",
    facts={"order": 1, "nfe": "N", "stochastic": "s_churn > 0", "pure_noise": True},
)
samplers.lazy(
    "euler-ancestral",
    "zoo.samplers.euler_ancestral:EulerAncestral",
    summary="Euler's rule with ancestral noise.",
    paper="Song et al. 2021, arXiv 2010.02502",
    facts={"order": 1, "nfe": "N", "stochastic": "eta > 0", "pure_noise": True},
)
samplers.lazy(
    "flow-rk",
    "zoo.samplers.flow_rk:FlowRK",
    summary="Runge-Kutta rules on the velocity of a straight path.",
    paper="Liu et al. 2023, arXiv 2209.03003",
    facts={"order": "p", "nfe": "2 N (heun), 4 N (rk4), 6 N (rk5)", "stochastic": False, "pure_noise": True},
)
samplers.lazy(
    "heun",
    "zoo.samplers.heun:Heun",
    summary="EDM's second-order sampler, with churn if wanted.",
    paper="Karras et al. 2022, arXiv 2206.00364",
    facts={"order": 2, "nfe": "2 N - 1", "stochastic": "s_churn > 0", "pure_noise": True},
)
samplers.lazy(
    "ipndm",
    "zoo.samplers.ipndm:IPNDM",
    summary="Adams-Bashforth weights of an even grid on any grid.",
    paper="Zhang & Chen 2023, arXiv 2204.13902",
    facts={"order": "min(p, 2)", "nfe": "N", "stochastic": False, "pure_noise": True},
)
samplers.lazy(
    "lcm",
    "zoo.samplers.lcm:LCM",
    summary="Jump to the data, then back to less noise, with networks trained for it.",
    paper="Luo et al. 2023, arXiv 2310.04378",
    facts={"order": 1, "nfe": "N", "stochastic": True, "pure_noise": True, "consistency": True},
)
samplers.lazy(
    "lms",
    "zoo.samplers.lms:LMS",
    summary="Adams-Bashforth of any order in the noise-to-signal ratio, with exact weights.",
    paper="Zhang & Chen 2023, arXiv 2204.13902",
    facts={"order": "p", "nfe": "N", "stochastic": False, "pure_noise": True},
)
samplers.lazy(
    "plms",
    "zoo.samplers.plms:PLMS",
    summary="Pseudo linear multistep with a two-evaluation start.",
    paper="Liu et al. 2022, arXiv 2202.09778",
    facts={"order": 2, "nfe": "N + 1", "stochastic": False, "pure_noise": False},
)
samplers.lazy(
    "pndm",
    "zoo.samplers.pndm:PNDM",
    summary="Pseudo numerical methods: F-PNDM with a Runge-Kutta start, or S-PNDM.",
    paper="Liu et al. 2022, arXiv 2202.09778",
    facts={"order": 2, "nfe": "N + 9 (f), N + 1 (s)", "stochastic": False, "pure_noise": False},
)
samplers.lazy(
    "restart",
    "zoo.samplers.restart:Restart",
    summary="Heun's rule that jumps back up and comes down again.",
    paper="Xu et al. 2023, arXiv 2306.14878",
    facts={"order": 2, "nfe": "2 N + 7", "stochastic": "len(intervals) > 0", "pure_noise": True},
)
samplers.lazy(
    "sa-solver",
    "zoo.samplers.sa_solver:SASolver",
    summary="Stochastic Adams predictor and corrector, with noise of a chosen strength.",
    paper="Xue et al. 2023, arXiv 2309.05019",
    facts={"order": "p", "nfe": "N", "stochastic": "tau > 0", "pure_noise": True},
)
samplers.lazy(
    "tcd",
    "zoo.samplers.tcd:TCD",
    summary="Jump along the ODE below the next noise level, then up to it, with networks trained for it.",
    paper="Zheng et al. 2024, arXiv 2402.19159",
    facts={"order": 1, "nfe": "N", "stochastic": "gamma > 0", "pure_noise": True},
)
samplers.lazy(
    "unipc",
    "zoo.samplers.unipc:UniPC",
    summary="Predictor of any order and a corrector that costs no evaluation.",
    paper="Zhao et al. 2023, arXiv 2302.04867",
    facts={"order": "p + 1", "nfe": "N", "stochastic": False, "pure_noise": "predict == 'x0'"},
)
