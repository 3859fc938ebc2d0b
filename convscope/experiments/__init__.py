"""The experiments, strangers to one another: name → module, the only list of them."""

EXPERIMENTS = {
    "ablate": "convscope.experiments.ablate",
    "activations": "convscope.experiments.activations",
    "correspondence": "convscope.experiments.correspondence",
    "curvature": "convscope.experiments.curvature",
    "diagnose": "convscope.experiments.diagnose",
    "dissect": "convscope.experiments.dissect",
    "evolution": "convscope.experiments.evolution",
    "invariance": "convscope.experiments.invariance",
    "invert": "convscope.experiments.invert",
    "linear_probe": "convscope.experiments.linear_probe",
    "maximize": "convscope.experiments.maximize",
    "net2vec": "convscope.experiments.net2vec",
    "occlude": "convscope.experiments.occlude",
    "project": "convscope.experiments.project",
    "redundancy": "convscope.experiments.redundancy",
    "transfer": "convscope.experiments.transfer",
}
