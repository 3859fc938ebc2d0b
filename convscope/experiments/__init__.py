"""The experiments, strangers to one another: name → module, the only list of them."""

EXPERIMENTS = {
    "activations": "convscope.experiments.activations",
    "project": "convscope.experiments.project",
}
