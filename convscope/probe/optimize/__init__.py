"""Optimisation over pictures: ascent, priors, parameterisations, inversion, curvature."""
