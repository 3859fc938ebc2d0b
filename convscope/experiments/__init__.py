"""The experiments, strangers to one another: name → module, the only list of them."""

EXPERIMENTS = {
    "activations": "convscope.experiments.activations",
    "correspondence": "convscope.experiments.correspondence",
    "diagnose": "convscope.experiments.diagnose",
    "dissect": "convscope.experiments.dissect",
    "evolution": "convscope.experiments.evolution",
    "invariance": "convscope.experiments.invariance",
    "invert": "convscope.experiments.invert",
    "maximize": "convscope.experiments.maximize",
    "project": "convscope.experiments.project",
    "redundancy": "convscope.experiments.redundancy",
}
