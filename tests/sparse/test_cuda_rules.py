"""Rules that CUDA enforces and a CPU does not, checked without a GPU.

A whole step of stage 1 runs on a simulated device. Its tensors contain tensors of the CPU, and each operator that is
called with them is checked against CUDA's rules. No operator takes tensors of two devices, NumPy never gets one, and
``native_batch_norm_backward`` gets its saved statistics. PyTorch's ``batch_norm_backward_cuda`` asserts these, in
``aten/src/ATen/native/cuda/Normalization.cu``; the same file has its fast kernels for channels last with four axes.
With the rules for CUDA, no operator waits for the device to finish its work.
"""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from gynbtnet.networks import Preset
from gynbtnet.sparse.active_blocks import ActiveBlocks
from gynbtnet.sparse.device_rules import CPU_RULES, cuda_rules
from gynbtnet.sparse.masked_autoencoder import MaskedAutoencoder
from gynbtnet.training import MaskedModellingObjective

SIMULATED = torch.device("meta")  # the only device, next to the CPU, whose backward pass runs in this thread
BETWEEN_DEVICES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
WAITING = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
    torch.ops.aten._unique2.default,
}
NORM_BACKWARD = torch.ops.aten.native_batch_norm_backward.default


class SimulatedTensor(torch.Tensor):
    """A tensor on the simulated device."""

    @staticmethod
    def __new__(cls, here):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=SIMULATED,
        )

    def __init__(self, here):
        self.here = here

    def tolist(self):
        return self.here.tolist()

    @classmethod
    def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):  # type: ignore[override]
        return compute_checked(operator, args, kwargs or {})


class Device(TorchDispatchMode):
    """Creates new tensors on the simulated device; records norms' backward passes, and operators that wait for it."""

    def __init__(self):
        super().__init__()
        self.norms, self.waits = [], []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        if operator is NORM_BACKWARD:
            self.norms.append(args)
        if waits(operator, args, kwargs or {}):
            self.waits.append(operator)
        return compute_checked(operator, args, kwargs or {})


def waits(operator, args, kwargs):
    """Return whether the CPU waits for the simulated device: it reads a value or a length, or copies at once."""
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
    simulated = [tensor for tensor in tensors if isinstance(tensor, SimulatedTensor)]
    to_device = kwargs.get("device") is not None and torch.device(kwargs["device"]) == SIMULATED
    if operator is torch.ops.aten._to_copy.default:
        return bool(simulated) != to_device and "device" in kwargs and not kwargs.get("non_blocking", False)
    if operator is torch.ops.aten.copy_.default:
        return 0 < len(simulated) < len(tensors) and len(args) < 3
    masks = [tensor for tensor in simulated if tensor.dtype == torch.bool]
    return bool((simulated and operator in WAITING) or (masks and operator is torch.ops.aten.index.Tensor))


def compute_checked(operator, args, kwargs):
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
    simulated = [tensor for tensor in tensors if isinstance(tensor, SimulatedTensor)]
    on_cpu = [tensor for tensor in tensors if not isinstance(tensor, SimulatedTensor) and tensor.ndim]
    assert not (simulated and on_cpu) or operator in BETWEEN_DEVICES, f"{operator} takes tensors of two devices"
    requested = kwargs.get("device")
    if requested is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    returns_simulated = torch.device(requested) == SIMULATED if requested is not None else bool(simulated)
    wrapped = {id(tensor.here): tensor for tensor in simulated}
    results = operator(*tree_map(unwrap, args), **tree_map(unwrap, kwargs))
    if operator is torch.ops.aten.copy_.default:
        return args[0]

    def wrap(value):
        if not isinstance(value, torch.Tensor):
            return value
        return wrapped[id(value)] if id(value) in wrapped else SimulatedTensor(value)

    return tree_map(wrap, results) if returns_simulated else results


def unwrap(value):
    return value.here if isinstance(value, SimulatedTensor) else value


def move_to_device(network):
    for module in network.modules():
        for name, parameter in module._parameters.items():
            module._parameters[name] = nn.Parameter(SimulatedTensor(parameter.detach()), parameter.requires_grad)
        for name, values in module._buffers.items():
            module._buffers[name] = values if values is None else SimulatedTensor(values)
    return network


def objective(norm, decoder="light", activation_checkpointing=False, rules=None):
    torch.manual_seed(0)
    network = MaskedAutoencoder(
        Preset((16, 16, 24), 2, (1, 2, 2)),
        norm=norm,
        decoder=decoder,
        activation_checkpointing=activation_checkpointing,
        rules=rules,
    )
    return MaskedModellingObjective(network, mask_ratio=0.6, normalise_target=True)


def a_batch():
    image = torch.randn(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    return {"image": image, "seeds": torch.tensor([5, 6])}


@pytest.fixture
def autocast_knows_the_device(monkeypatch):
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)


@pytest.mark.usefixtures("autocast_knows_the_device")
@pytest.mark.parametrize(
    ("norm", "decoder", "activation_checkpointing"),
    [
        ("instance", "light", False),
        ("batch", "light", True),
        ("instance", "unet", True),
        pytest.param("instance", "light", True, marks=pytest.mark.slow),
        pytest.param("batch", "light", False, marks=pytest.mark.slow),
        pytest.param("instance", "unet", False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("rules", [CPU_RULES, cuda_rules(2**18)], ids=["rules of a CPU", "rules of CUDA"])
def test_a_step_keeps_cudas_rules(rules, norm, decoder, activation_checkpointing):
    simulated = objective(norm, decoder, activation_checkpointing, rules)
    plain = objective(norm, decoder, activation_checkpointing)
    move_to_device(simulated.network)
    with Device() as device:
        loss = simulated.loss(simulated.network, {name: SimulatedTensor(values) for name, values in a_batch().items()})
        loss.backward()
    expected = plain.loss(plain.network, a_batch())
    expected.backward()
    assert loss.here.item() == pytest.approx(expected.item(), rel=1e-6)
    for ours, theirs in zip(simulated.network.parameters(), plain.network.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad.here, theirs.grad, rtol=1e-4, atol=1e-6)
    if rules is not CPU_RULES:
        assert device.waits == []
        if norm == "instance":
            return  # batch norm is for a batch as a whole
    assert device.norms
    for grad, rows, weight, _, _, mean, deviation, *_ in device.norms:
        assert mean is not None
        assert deviation is not None
        assert mean.shape == deviation.shape == weight.shape == rows.shape[1:2]
        assert mean.dtype == deviation.dtype == torch.float32
        if rows.ndim == 4:
            assert rows.is_contiguous(memory_format=torch.channels_last)
            assert grad.is_contiguous(memory_format=torch.channels_last)
    assert sum(rows.ndim == 4 for _, rows, *_ in device.norms) >= 12  # each norm of the encoder, at least once


@pytest.mark.usefixtures("autocast_knows_the_device")
def test_validation_and_pictures_keep_cudas_rules(monkeypatch):
    monkeypatch.setattr(SimulatedTensor, "cpu", lambda self: self.here)
    simulated = objective("instance")
    move_to_device(simulated.network)
    patch = {name: SimulatedTensor(values[:1]) for name, values in a_batch().items()}
    with torch.no_grad(), Device():
        assert simulated.validate([patch])["validation_loss"] > 0
        simulated.picture([patch])


def test_the_simulated_device_refuses_what_cuda_refuses():
    with Device() as device:
        tensor = SimulatedTensor(torch.ones(2, 3))
        with pytest.raises(AssertionError, match="two devices"):
            tensor + torch.ones(3)
        with pytest.raises(AssertionError, match="two devices"):
            tensor.index_select(0, torch.tensor([0]))
        with pytest.raises((RuntimeError, TypeError)):
            tensor.numpy()
        assert torch.zeros(2, device=tensor.device).device == SIMULATED
        device.waits.clear()
        torch.ones(2).to(SIMULATED, non_blocking=True)
        assert not device.waits
        torch.ones(2).to(SIMULATED)
        (tensor > 0).nonzero()
        tensor[tensor > 0]
        tensor.cpu()
        assert len(device.waits) == 4
        assert (tensor + 1).device == SIMULATED


def test_a_mask_on_the_device_keeps_its_tables_there():
    with Device():
        active = ActiveBlocks(SimulatedTensor(torch.ones(1, 2, 2, 2, dtype=torch.bool)))
        tables = [active.cells, active.tiles((4, 4, 4), (1, 1, 1), (1, 1, 1)), *active.positions]
        tables += [active.taps((2, 2, 2), (1, 1, 1)), active.readers((2, 2, 2), (2, 2, 2))]
        tables += [rows for pair in active.pairs((2, 2, 2), (2, 2, 2)) for rows in pair]
    assert all(table.device == SIMULATED for table in tables)
