"""Table of contents: every built-in component by strings only, so that listing imports nothing.

Entries are sorted by name within their kind. `facts` repeats what the class itself says, for lists that must not import
it; a test compares the two.
"""

from __future__ import annotations

from registry.tables import (
    classifiers,
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

classifiers.lazy(
    "adm-classifier",
    "zoo.classifiers.adm:ADMClassifier",
    summary="The way down of the ADM UNet and a pool, for noisy images.",
    paper="Dhariwal & Nichol 2021, arXiv 2105.05233",
    facts={"data": "images"},
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
    "adm",
    "zoo.denoisers.adm:ADM",
    summary="The UNet of improved-diffusion and guided-diffusion, upsamplers too.",
    paper="Dhariwal & Nichol 2021, arXiv 2105.05233",
    facts={"data": "images", "conditions": "labels, low_res"},
)
denoisers.lazy(
    "diffnet",
    "zoo.denoisers.diffnet:DiffNet",
    summary="The WaveNet denoiser of mels: DiffSinger, diff-svc, DDSP-SVC.",
    paper="Liu et al. 2022, arXiv 2105.02446",
    facts={"data": "mel", "conditions": "cond"},
)
denoisers.lazy(
    "dit",
    "zoo.denoisers.dit:DiT",
    summary="The diffusion transformer: adaLN-Zero blocks on patches.",
    paper="Peebles & Xie 2023, arXiv 2212.09748",
    facts={"data": "images", "conditions": "labels"},
)
denoisers.lazy(
    "edm-dhariwal",
    "zoo.denoisers.edm_dhariwal:DhariwalUNet",
    summary="ADM's UNet as EDM builds it: heads of 64 channels, scale and shift.",
    paper="Karras et al. 2022, arXiv 2206.00364",
    facts={"data": "images", "conditions": "labels, augment"},
)
denoisers.lazy(
    "edm-song",
    "zoo.denoisers.edm_song:SongUNet",
    summary="DDPM++ and NCSN++ as EDM builds them.",
    paper="Karras et al. 2022, arXiv 2206.00364",
    facts={"data": "images", "conditions": "labels, augment"},
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
    "lucid",
    "zoo.denoisers.lucid:LucidUNet",
    summary="lucidrains' UNet: linear attention, memory tokens, self-conditioning.",
    paper="Ho et al. 2020, arXiv 2006.11239",
    facts={"data": "images", "conditions": "self_cond"},
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
    "sit",
    "zoo.denoisers.dit:SiT",
    summary="DiT's network as the velocity of a flow.",
    paper="Ma et al. 2024, arXiv 2401.08740",
    facts={"data": "images", "conditions": "labels"},
)
denoisers.lazy(
    "timm-unet",
    "zoo.denoisers.timm_unet:TimmUNet",
    summary="A UNet whose way down is any of timm's encoders.",
    paper="Wightman 2019, github.com/huggingface/pytorch-image-models",
    facts={"data": "images", "conditions": "labels"},
)
denoisers.lazy(
    "timm-vit",
    "zoo.denoisers.timm_vit:TimmViT",
    summary="Any of timm's plain vision transformers, in the manner of U-ViT or DiT.",
    paper="Bao et al. 2023, arXiv 2209.12152",
    facts={"data": "images", "conditions": "labels"},
)
denoisers.lazy(
    "unet",
    "zoo.denoisers.unet:UNet",
    summary="The DDPM UNet: residual blocks, attention at chosen resolutions, skips.",
    paper="Ho et al. 2020, arXiv 2006.11239",
    facts={"data": "images", "conditions": "labels"},
)
denoisers.lazy(
    "unet2d",
    "zoo.denoisers.unet2d:UNet2D",
    summary="diffusers' UNet2DModel: DDPM, ADM and NCSN++ by kinds of levels.",
    paper="Song et al. 2021, arXiv 2011.13456",
    facts={"data": "images", "conditions": "labels"},
)
denoisers.lazy(
    "uvit",
    "zoo.denoisers.uvit:UViT",
    summary="A plain transformer with long skips; time and class are tokens.",
    paper="Bao et al. 2023, arXiv 2209.12152",
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
importers.lazy(
    "diffusers",
    "zoo.importers.diffusers:Diffusers",
    summary="UNet2DModel with its scheduler: a folder of diffusers, or the file in it.",
)
importers.lazy(
    "dit",
    "zoo.importers.dit:DiT",
    summary="DiT of facebookresearch/DiT and of diffusers.",
    paper="Peebles & Xie 2023, arXiv 2212.09748",
)
importers.lazy(
    "edm",
    "zoo.importers.edm:EDM",
    summary="EDM's networks and preconditioned models, as a state_dict.",
    paper="Karras et al. 2022, arXiv 2206.00364",
)
importers.lazy(
    "guided-diffusion",
    "zoo.importers.guided_diffusion:GuidedDiffusion",
    summary="guided-diffusion: the ADM UNet, its upsamplers and classifiers.",
    paper="Dhariwal & Nichol 2021, arXiv 2105.05233",
)
importers.lazy(
    "improved-diffusion",
    "zoo.importers.improved_diffusion:ImprovedDiffusion",
    summary="improved-diffusion's UNet.",
    paper="Nichol & Dhariwal 2021, arXiv 2102.09672",
)
importers.lazy(
    "lucidrains",
    "zoo.importers.lucidrains:Lucidrains",
    summary="denoising-diffusion-pytorch: Unet, GaussianDiffusion and Trainer files.",
    paper="Ho et al. 2020, arXiv 2006.11239",
)
importers.lazy(
    "sit",
    "zoo.importers.sit:SiT",
    summary="SiT's released files and those of its train.py.",
    paper="Ma et al. 2024, arXiv 2401.08740",
)
importers.lazy(
    "uvit",
    "zoo.importers.uvit:UViT",
    summary="U-ViT's released files.",
    paper="Bao et al. 2023, arXiv 2209.12152",
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

scalings.lazy("identity", "zoo.core.scaling:Identity", summary="Data is diffused as it is.")
scalings.lazy("mean-std", "zoo.core.scaling:MeanStd", summary="(data - mean) / std, for all channels or each.")
scalings.lazy("min-max", "zoo.core.scaling:MinMax", summary="[low, high] to [-1, 1], for all channels or each.")

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
