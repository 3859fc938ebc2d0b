"""Measures of filters: selectivity, similarity, spectra, checks of the first layer."""
