"""The importers of the zoo."""

from registry.tables import importers

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
