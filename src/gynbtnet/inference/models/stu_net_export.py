"""Export of a model as weights of STU-Net."""

from pathlib import Path

from gynbtnet.inference.models.model import Model
from gynbtnet.networks.stu_net import write_stu_net
from gynbtnet.runtime.errors import BadInput


def export_stu_net(model: Model, out: Path, *, force: bool = False) -> Path:
    """Write the weights with STU-Net's parameter names.

    Args:
        model: GynBTNet model.
        out: file that ends in ``.pth`` (nnU-Net 2) or ``.model`` (nnU-Net 1).
        force: replace an existing file.

    Returns:
        The file.

    Raises:
        BadInput: If the network is not GynBTNet, ``out`` has another suffix, or ``out`` exists and ``force`` is not
            set.
    """
    if model.plan.network != "gynbtnet":
        raise BadInput(f"{model.folder} is a {model.title} model; only weights of GynBTNet fit STU-Net.")
    if out.suffix not in (".pth", ".model"):
        raise BadInput(f"{out} can't be a file of STU-Net's weights; give a name that ends in .pth or .model.")
    if out.is_dir() or (out.exists() and not force):
        raise BadInput(f"{out} exists already; replace it with --force, or give another name.")
    write_stu_net(model.network.state_dict(), out)
    return out
