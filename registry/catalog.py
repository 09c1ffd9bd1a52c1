"""Table of contents: every built-in component by strings only, so that listing imports nothing.

Entries are sorted by name within their kind. `facts` repeats what the class itself says, for lists that must not import
it; a test compares the two.
"""

from __future__ import annotations

from registry.tables import (
    conditioners,
    data,
    denoisers,
    features,
    guidances,
    importers,
    objectives,
    optimizers,
    parameterizations,
    samplers,
    scalings,
    schedules,
    spacings,
)

conditioners.lazy(
    "aux-decoder",
    "zoo.conditioners.aux_decoder:AuxDecoder",
    summary="The first mel of a shallow diffusion, by a small convolutional network.",
    paper="Liu et al. 2022, arXiv 2201.03545",
)
conditioners.lazy(
    "svc",
    "zoo.conditioners.svc:SVC",
    summary="Units stretched to mel frames, plus a learned row for the pitch: diff-svc.",
    paper="Liu et al. 2021, arXiv 2105.13871",
)
conditioners.lazy(
    "unit2mel",
    "zoo.conditioners.unit2mel:Unit2Mel",
    summary="Linear in units, pitch and loudness: DDSP-SVC and its relatives.",
)

data.lazy(
    "digits",
    "zoo.data.digits:digits",
    summary="scikit-learn's 1,797 handwritten digits, 8 x 8.",
    facts={"classes": 10},
)
data.lazy(
    "images",
    "zoo.data.images:Images",
    summary="Any folder of pictures, cut and resized to the model's shape.",
    facts={"classes": "by folder"},
)
data.lazy(
    "mnist",
    "zoo.data.mnist:mnist",
    summary="28 x 28 handwritten digits, padded to the model's shape.",
    paper="LeCun et al. 1998, Gradient-based learning applied to document recognition",
    facts={"classes": 10},
)

denoisers.lazy(
    "diffnet",
    "zoo.denoisers.diffnet:DiffNet",
    summary="The WaveNet denoiser of mels: DiffSinger, diff-svc, DDSP-SVC.",
    paper="Liu et al. 2022, arXiv 2105.02446",
    facts={"data": "mel", "conditions": "cond"},
)
denoisers.lazy(
    "fft-denoiser",
    "zoo.denoisers.fft:FFTDenoiser",
    summary="A transformer over mel frames: the other decoder of diff-svc.",
    paper="Ren et al. 2019, arXiv 1905.09263",
    facts={"data": "mel", "conditions": "cond"},
)
denoisers.lazy(
    "gaussian",
    "zoo.denoisers.gaussian:Gaussian",
    summary="Gaussian data, solved exactly; the yardstick of samplers.",
    facts={"analytic": True},
)
denoisers.lazy(
    "gaussian-mixture",
    "zoo.denoisers.gaussian:GaussianMixture",
    summary="A mixture of Gaussians, solved exactly.",
    facts={"analytic": True},
)
denoisers.lazy(
    "lynxnet",
    "zoo.denoisers.lynxnet:LYNXNet",
    summary="OpenVPI's first convolutional denoiser of mels.",
    paper="Gulati et al. 2020, arXiv 2005.08100",
    facts={"data": "mel", "conditions": "cond"},
)
denoisers.lazy(
    "lynxnet2",
    "zoo.denoisers.lynxnet:LYNXNet2",
    summary="OpenVPI's second convolutional denoiser of mels.",
    paper="Gulati et al. 2020, arXiv 2005.08100",
    facts={"data": "mel", "conditions": "cond"},
)
denoisers.lazy(
    "unet",
    "zoo.denoisers.unet:UNet",
    summary="The DDPM UNet: residual blocks, attention at chosen resolutions, skips.",
    paper="Ho et al. 2020, arXiv 2006.11239",
    facts={"data": "images", "conditions": "labels"},
)

features.lazy(
    "classifier",
    "zoo.metrics.classifier:Classifier",
    summary="The last features of a small CNN, trained on the real examples.",
    facts={"needs": "labels"},
)

guidances.lazy(
    "autoguidance",
    "zoo.guidance.auto:AutoGuidance",
    summary="Away from a worse version of the same model.",
    paper="Karras et al. 2024, arXiv 2406.02507",
    facts={"needs": "a weaker model"},
)
guidances.lazy(
    "cfg",
    "zoo.guidance.cfg:CFG",
    summary="Classifier-free guidance, in one forward of the doubled batch or in two.",
    paper="Ho & Salimans 2022, arXiv 2207.12598",
    facts={"needs": "conditions"},
)
guidances.lazy(
    "cfg-pp",
    "zoo.guidance.cfg:CFGpp",
    summary="CFG++: the guided x_0 with the unconditional noise.",
    paper="Chung et al. 2024, arXiv 2406.08070",
    facts={"needs": "conditions"},
)
guidances.lazy(
    "classifier",
    "zoo.guidance.classifier:Classifier",
    summary="Uphill on the log-probability that a classifier gives the class.",
    paper="Dhariwal & Nichol 2021, arXiv 2105.05233",
    facts={"needs": "a classifier"},
)
guidances.lazy(
    "clip",
    "zoo.guidance.bounds:Clip",
    summary="x_0 clamped to the range of the data.",
    paper="Ho et al. 2020, arXiv 2006.11239",
)
guidances.lazy(
    "interval",
    "zoo.guidance.interval:Interval",
    summary="Another guidance within an interval of noise levels only.",
    paper="Kynkaanniemi et al. 2024, arXiv 2404.07724",
)
guidances.lazy(
    "threshold",
    "zoo.guidance.bounds:Threshold",
    summary="Dynamic thresholding of x_0 by a quantile.",
    paper="Saharia et al. 2022, arXiv 2205.11487",
)

importers.lazy(
    "ddim",
    "zoo.importers.ddim:DDIM",
    summary="The DDPM UNet of ermongroup/ddim, its pretrained files, and PNDM's.",
    paper="Song et al. 2021, arXiv 2010.02502",
)
importers.lazy(
    "ddsp-svc",
    "zoo.importers.ddsp_svc:DDSPSVC",
    summary="DDSP-SVC, Diffusion-SVC, so-vits-svc's shallow diffusion.",
)
importers.lazy(
    "diff-svc",
    "zoo.importers.diff_svc:DiffSVC",
    summary="diff-svc, kor_diff_svc, the first DiffSinger.",
    paper="Liu et al. 2022, arXiv 2105.02446",
)
importers.lazy(
    "diffsinger",
    "zoo.importers.diffsinger:DiffSinger",
    summary="OpenVPI's acoustic models, DDPM and rectified flow.",
    paper="Liu et al. 2022, arXiv 2105.02446",
)

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
    "uniform",
    "zoo.objectives:Uniform",
    summary="L_simple: every time alike.",
    paper="Ho et al. 2020, arXiv 2006.11239",
)

optimizers.lazy(
    "adamw",
    "zoo.optimizers:adamw",
    summary="Adam with decoupled weight decay.",
    paper="Loshchilov & Hutter 2019, arXiv 1711.05101",
)

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
parameterizations.lazy("x0", "zoo.parameterizations:X0", summary="The network predicts the data.")

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
    "dpmpp-2m",
    "zoo.samplers.dpmpp_2m:DPMpp2M",
    summary="DPM-Solver++ (2M): second order from one evaluation a step, with or without noise.",
    paper="Lu et al. 2022, arXiv 2211.01095",
    facts={"order": 2, "nfe": "N", "stochastic": "eta > 0", "pure_noise": True},
)
samplers.lazy(
    "flow-rk",
    "zoo.samplers.flow_rk:FlowRK",
    summary="Runge-Kutta rules on the velocity of a straight path.",
    paper="Liu et al. 2023, arXiv 2209.03003",
    facts={"order": "p", "nfe": "2 N (heun), 4 N (rk4), 6 N (rk5)", "stochastic": False, "pure_noise": True},
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
    "unipc",
    "zoo.samplers.unipc:UniPC",
    summary="Predictor of any order and a corrector that costs no evaluation.",
    paper="Zhao et al. 2023, arXiv 2302.04867",
    facts={"order": "p + 1", "nfe": "N", "stochastic": False, "pure_noise": "predict == 'x0'"},
)

scalings.lazy("identity", "zoo.core.scaling:Identity", summary="Data is diffused as it is.")
scalings.lazy("mean-std", "zoo.core.scaling:MeanStd", summary="(data - mean) / std, for all channels or each.")
scalings.lazy("min-max", "zoo.core.scaling:MinMax", summary="[low, high] to [-1, 1], for all channels or each.")

schedules.lazy(
    "cosine",
    "zoo.schedules.beta:Cosine",
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
    "flow",
    "zoo.schedules.continuous:Flow",
    summary="The straight path of rectified flow.",
    paper="Liu et al. 2023, arXiv 2209.03003",
    facts={"time": "continuous", "path": "flow"},
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

spacings.lazy("diff-svc", "zoo.spacings:DiffSVC", summary="Every interval-th time below k_step, as diff-svc walks.")
spacings.lazy(
    "karras",
    "zoo.spacings:Karras",
    summary="sigma / alpha by a power law, dense near the data.",
    paper="Karras et al. 2022, arXiv 2206.00364",
)
spacings.lazy(
    "leading",
    "zoo.spacings:Leading",
    summary="Multiples of T // N, as DDIM and PNDM walk.",
    paper="Song et al. 2021, arXiv 2010.02502",
)
spacings.lazy("linspace", "zoo.spacings:Linspace", summary="Equal steps from the last trained time to the first.")
spacings.lazy("log-snr", "zoo.spacings:LogSNR", summary="Equal steps in log(sigma / alpha).")
spacings.lazy(
    "quadratic",
    "zoo.spacings:Quadratic",
    summary="Times by squares, dense near the data.",
    paper="Song et al. 2021, arXiv 2010.02502",
)
spacings.lazy(
    "respaced",
    "zoo.spacings:Respaced",
    summary="Sections with a count each, as guided-diffusion walks.",
    paper="Nichol & Dhariwal 2021, arXiv 2102.09672",
)
spacings.lazy(
    "trailing",
    "zoo.spacings:Trailing",
    summary="From the very end of the schedule; wastes no evaluation.",
    paper="Lin et al. 2024, arXiv 2305.08891",
)
