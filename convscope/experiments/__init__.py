"""The experiments, strangers to one another: name → module, the only list of them."""

EXPERIMENTS = {
    "project": "convscope.experiments.project",
}
