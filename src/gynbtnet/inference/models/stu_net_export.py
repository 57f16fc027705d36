"""A model as STU-Net's weights."""

from pathlib import Path

from gynbtnet.inference.models.model import Model
from gynbtnet.networks.stu_net import write_stu_net
from gynbtnet.runtime.errors import BadInput


def export_stu_net(model: Model, out: Path, *, force: bool = False) -> Path:
    """Write the weights under STU-Net's names to a ``.pth`` (nnU-Net 2) or ``.model`` (nnU-Net 1) file.

    Raises:
        BadInput: where the model is no GynBTNet, ``out`` has another suffix, or a file stands there and not ``force``.
    """
    if model.plan.network != "gynbtnet":
        raise BadInput(f"{model.folder} is a {model.title}; only GynBTNet's weights fit STU-Net.")
    if out.suffix not in (".pth", ".model"):
        raise BadInput(f"{out} is no name for STU-Net's weights; expected one that ends in .pth or .model.")
    if out.is_dir() or (out.exists() and not force):
        raise BadInput(f"{out} stands there already; replace the file with --force, or give another name.")
    write_stu_net(model.network.state_dict(), out)
    return out
