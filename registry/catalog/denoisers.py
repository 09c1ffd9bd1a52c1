"""The denoisers of the zoo."""

from registry.tables import denoisers

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
