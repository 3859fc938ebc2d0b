"""The claims register (METHODS §11): what the sources say, each claim with the findings of the page that test it."""

from typing import NamedTuple


class Claim(NamedTuple):
    """A statement of the sources, in few words, and where it is made."""

    words: str
    source: str


PAPER = "the paper"

CLAIMS = {
    "C1": Claim("the replication matches the published network", f"{PAPER}, 5.1"),
    "C2": Claim("smaller filters and strides help", f"{PAPER}, 4.1, 5.1"),
    "C3": Claim("ensembles help", f"{PAPER}, Table 2"),
    "C4": Claim("depth is essential", f"{PAPER}, Table 3"),
    "C5": Claim("fully connected layers hold most parameters, yet their removal costs little", f"{PAPER}, Table 3"),
    "C6": Claim("the width of the fully connected layers has little effect", f"{PAPER}, Table 3"),
    "C7": Claim("wider middle layers help; wide everywhere over-fits", f"{PAPER}, Table 3"),
    "C8": Claim("layers go from edges to textures to parts to objects", f"{PAPER}, Figure 2"),
    "C9": Claim("low layers converge early, the top ones after 40 to 50 epochs", f"{PAPER}, Figure 4"),
    "C10": Claim("layer 1 reacts strongly to small transforms, layer 7 weakly", f"{PAPER}, Figure 5"),
    "C11": Claim("not invariant to rotation, except for symmetric objects", f"{PAPER}, Figure 5"),
    "C12": Claim("renormalising filters removes domination", f"{PAPER}, Figure 6"),
    "C13": Claim("smaller filters: fewer dead ones, middle frequencies, no aliasing", f"{PAPER}, Figure 6"),
    "C14": Claim("the network localises the object, not only its context", f"{PAPER}, Figure 7"),
    "C15": Claim("a projection shows what drives the map", f"{PAPER}, Figure 7"),
    "C16": Claim("parts correspond at layer 5, not at layer 7", f"{PAPER}, Table 1"),
    "C17": Claim("pre-trained far above from scratch on small data sets", f"{PAPER}, Tables 4 and 5"),
    "C18": Claim("six pictures of a class beat the best result with 60", f"{PAPER}, Figure 9"),
    "C19": Claim("PASCAL VOC: 3.2 below the best, five classes won", f"{PAPER}, Table 6"),
    "C20": Claim("features improve with depth", f"{PAPER}, Table 7"),
    "C21": Claim("activation maximisation depends on its start", f"{PAPER}, 1.1; the student paper"),
    "C22": Claim("a quadratic approximation is poor at high layers", f"{PAPER}, 1.1; the student paper"),
    "C23": Claim("first layer colours, deeper ones patterns, last one textures", "the student paper, 3.2"),
    "C24": Claim("a class mean as start keeps colour, noise keeps texture", "the student paper, 3.3"),
    "C25": Claim("simple networks can be read by plotting their outputs", "the student paper, 2.2"),
    "C26": Claim("some filters are equal up to colour or rotation", "the student paper, 5.1"),
    "C27": Claim("concepts are coded by combinations of filters", "the review, III-C"),
    "C28": Claim("decoders are better for high layers, though they need a training", "the review, III-B"),
}
