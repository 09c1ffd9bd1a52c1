"""The networks, one family a module: `forward(x, t, **cond)`; they know no schedule, no loss, no sampler."""
