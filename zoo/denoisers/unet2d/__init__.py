"""The UNet of diffusers, UNet2DModel: one ladder for DDPM, ADM and NCSN++, each level of a kind of its own.

    conv_in -> per level: (residual block, attention?) x n, halve
            -> residual block, attention, residual block
            -> per level, deepest first: (residual block on [h, skip], attention?) x (n + 1), double
            -> norm, silu, conv_out

The kind of a level says how it is halved or doubled: by a convolution (DDPM, Ho et al. 2020), in a residual block (ADM,
Dhariwal & Nichol 2021), or in a residual block with a filter, the image itself running along beside the maps (NCSN++,
Song et al. 2021, appendix H).
"""

from zoo.denoisers.unet2d.network import UNet2D as UNet2D
