"""All schematics of a live network (G1): its architecture, a pooling switch at work, the gradient-ascent loop.

    for drawing in schematics(net, "cat.jpg"):
        drawing.write(Path("out"))          # NAME.svg to look at, NAME.json with the same numbers

Nothing is drawn by hand: every number comes out of a forward pass of the network itself.
"""

from convscope.disk.output_folder import Kind
from convscope.figures.architecture import architecture
from convscope.figures.ascent import ascent
from convscope.figures.schematic_file import Schematic
from convscope.figures.switch import has_switches, switch
from convscope.models.network import Network
from convscope.pictures import Source
from convscope.probe.trace.address import Unit

SCHEMATICS = Kind("schematics")


def schematics(net: Network, picture: "Source", unit: str | Unit | None = None, *, seed: int = 0) -> list[Schematic]:
    """The architecture, the ascent on `unit`, and, where the network pools by maximum, a switch seen on `picture`."""
    drawings = [architecture(net, picture), ascent(net, unit, seed=seed)]
    return [*drawings, switch(net, picture)] if has_switches(net) else drawings
