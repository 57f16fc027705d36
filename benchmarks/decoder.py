"""What the decoder saves by convolving the map from below before it is upsampled, beside the plain form.

One process, one allocator setting, the two forms in turn; the least CPU seconds of each. Heads and everything else run
alike in both. The plain form has the projection before the upsampling too, as ours has.

    python benchmarks/decoder.py                          # presets XS and B, 80×160×160
    python benchmarks/decoder.py --presets L --repeats 1  # needs some 40 GB
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from gynbtnet.networks import decoder_block as merging_block
from gynbtnet.networks.presets import PRESETS
from gynbtnet.networks.unet import Decoder
from gynbtnet.training.allocator import keep_freed_memory

RULE = merging_block.use_split_form
FORMS: dict[str, Callable[[torch.Tensor], bool]] = {"plain": lambda below: False, "ours": RULE}


def convolution(x: list[int], weight: list[int], *_: object, out_shape: list[int], **__: object) -> int:
    """Operations of oneDNN's convolution, which PyTorch's counter doesn't know."""
    return int(conv_flop_count(x, weight, out_shape))


COUNTED = {torch.ops.aten.mkldnn_convolution: convolution}


def predict(decoder: Decoder, features: list[torch.Tensor]) -> None:
    with torch.no_grad():
        decoder(list(features), every_level=False)


def train(decoder: Decoder, features: list[torch.Tensor]) -> None:
    logits = decoder(list(features), every_level=True)
    sum(level.square().mean() for level in logits).backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", default=["XS", "B"])
    parser.add_argument("--patch", type=int, nargs=3, default=(80, 160, 160))
    parser.add_argument("--outputs", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    print("| preset | what | plain: TFLOP | ours | ratio | plain: CPU s | ours | ratio |")
    print("|---" * 8 + "|")
    for name in options.presets:
        preset, size, features = PRESETS[name], list(options.patch), []
        for channels, stride in zip(preset.channels, preset.strides, strict=True):
            size = [n // stride for n in size]
            features.append(torch.randn(1, channels, *size, requires_grad=True))
        decoder = Decoder(preset, options.outputs)
        for what, run in (("prediction", predict), ("training", train)):
            seconds: dict[str, list[float]] = {form: [] for form in FORMS}
            operations = {}
            for form, rule in FORMS.items():
                merging_block.use_split_form = rule
                with FlopCounterMode(display=False, custom_mapping=COUNTED) as counter:
                    run(decoder, features)
                operations[form] = counter.get_total_flops() / 1e12
            for _ in range(options.repeats):
                for form, rule in FORMS.items():
                    merging_block.use_split_form = rule
                    start = time.process_time()
                    run(decoder, features)
                    seconds[form].append(time.process_time() - start)
            plain, ours = (min(seconds[form]) for form in ("plain", "ours"))
            many, few = operations["plain"], operations["ours"]
            print(
                f"| {name} | {what} | {many:.3f} | {few:.3f} | {many / few:.2f}× "
                f"| {plain:.2f} | {ours:.2f} | {plain / ours:.2f}× |",
                flush=True,
            )


if __name__ == "__main__":
    main()
