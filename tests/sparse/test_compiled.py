"""A step of stage 1 with ``compile: true`` is the step without it."""

from copy import deepcopy

import pytest
import torch
from lightning_fabric import Fabric

from gynbtnet.networks import Preset
from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
from gynbtnet.training import Batch, MaskedModellingObjective


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # Dynamo's own, which it hides elsewhere
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # Inductor's own
@pytest.mark.parametrize(
    ("backend", "norm", "decoder"),
    [
        ("aot_eager", "instance", "light"),
        ("aot_eager", "batch", "unet"),
        pytest.param("inductor", "instance", "light", marks=pytest.mark.slow),
    ],
)
def test_a_compiled_step_is_an_eager_one(backend, norm, decoder):
    """As the engine runs it, for masks that differ from step to step; the decoder is one graph, compiled once."""
    torch.manual_seed(0)
    network = MaskedAutoencoder(Preset((16, 16), 1, (1, 2)), norm=norm, decoder=decoder)
    eager, compiled = (
        MaskedModellingObjective(copied, mask_ratio=0.6, normalise_target=True)
        for copied in (network, deepcopy(network))
    )
    graphs = []

    def counted(graph, inputs):
        graphs.append(graph)
        return torch._dynamo.lookup_backend(backend)(graph, inputs)

    fabric = Fabric(accelerator="cpu", devices=1)
    wrapped = fabric.setup_module(torch.compile(compiled.network, backend=counted))  # type: ignore[arg-type]
    for step in range(3):
        image = torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(step))
        batch: Batch = {"image": image, "seeds": torch.tensor([2 * step, 2 * step + 1])}
        expected = eager.loss(eager.network, batch)
        loss = compiled.loss(wrapped, batch)
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
        expected.backward()
        fabric.backward(loss)
    assert len(graphs) == 1
    convolutions = sum(isinstance(module, torch.nn.Conv3d) for module in network.decoder.modules())
    assert convolutions
    for ours, theirs in zip(compiled.network.parameters(), eager.network.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
