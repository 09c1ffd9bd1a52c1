"""Spacings: which times a walk of so many steps visits.

Every spacing gives the times from the start to the end, one more than there are steps. The end belongs to the
grid, not to the sampler: "clean" is x_0 itself, "first" the least noise of the table (time 0), a number any time.
"""
