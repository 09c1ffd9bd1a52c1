"""The shared diffusion core: schedules, parameterizations, grids, samplers' protocol, and the model that joins them."""
