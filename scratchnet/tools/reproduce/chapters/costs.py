"""The ledger of each net: parameters, cost, memory and receptive field of each layer."""

from __future__ import annotations

from typing import Any

from scratchnet.support.tables import markdown_table
from scratchnet.tools.reproduce import ledger
from scratchnet.tools.reproduce.ledger import total
from scratchnet.tools.reproduce.numbers import plural
from scratchnet.tools.reproduce.page import Page, data_title, paragraphs

ABOUT = """Multiply-adds and bytes are for one image. Those of backward are for the gradients of the parameters and of the input;
the first layer needs no gradient of its input. "Bytes kept" is what training stores of an image for backward; an array that two
layers store is counted at the first. Milliseconds are for a training step, medians; the part of a step that belongs to no layer is
the loss and the update of the parameters."""

Net = dict[str, Any]


def costs(page: Page) -> str:
    """Return the chapter."""
    found = ledger.read(page.out)
    title = "## What each layer costs"
    if found is None:
        return paragraphs(title, "Not measured yet. `scratchnet reproduce --only ledger` measures it.")
    machine = found["machine"]
    parts = [title, f"{ABOUT} Measured on {machine['processor']}, {plural(machine['threads'], 'thread')}."]
    nets = found["nets"]
    for name, net in nets.items():
        which, data = name.split()
        parts += [f"### {which} on {data_title(data)}", layers(net), heaviest(net)]
    both = dict.fromkeys(name.split()[1] for name in nets)
    why = [slower(data_title(data), nets[f"net_1 {data}"], nets[f"net_2 {data}"]) for data in both]
    return paragraphs(*parts, "### Why net_1 is slow", "\n".join(why))


def layers(net: Net) -> str:
    """Return a table of a net's layers, and of their sums."""
    lines = [
        {
            "layer": f"`{row['layer']}`",
            "output": "×".join(map(str, row["output_shape"])),
            **costs_of([row], "×".join(map(str, row["receptive_field"]))),
        }
        for row in net["rows"]
    ]
    return markdown_table([*lines, {"layer": "**all layers**", "output": "", **costs_of(net["rows"], "")}])


def costs_of(rows: list[ledger.Row], field: str) -> dict[str, str]:
    """Return the cells of one layer, or of several together."""
    return {
        "parameters": f"{total(rows, 'parameters'):,}",
        "multiply-adds forward": f"{total(rows, 'forward_madds'):,}",
        "backward": f"{total(rows, 'backward_madds'):,}",
        "bytes kept": f"{total(rows, 'cache_bytes'):,}",
        "receptive field": field,
        "ms forward": f"{1e3 * total(rows, 'forward_seconds'):.2f}",
        "ms backward": f"{1e3 * total(rows, 'backward_seconds'):.2f}",
    }


def heaviest(net: Net) -> str:
    """Return which layers have the most parameters and the most work, and how long a step takes."""
    weights, weight_share = ledger.heaviest(net["rows"], "parameters")
    work, work_share = ledger.heaviest(net["rows"], "forward_madds")
    step, update = net["step_seconds"], net["update_seconds"]
    return (
        f"`{weights['layer']}` holds {weight_share:.1%} of the parameters; `{work['layer']}` does {work_share:.1%} of the forward "
        f"multiply-adds. A training step of {net['batch_size']} images takes {1e3 * step:.1f} ms, of which the update of the "
        f"parameters takes {1e3 * update:.1f} ms ({update / step:.0%})."
    )


def slower(data: str, one: Net, two: Net) -> str:
    """Compare net_1 with net_2: how much more it has to do, and which of its layers take the additional time."""
    parameters, work = (total(one["rows"], key) / total(two["rows"], key) for key in ("parameters", "forward_madds"))
    ours, theirs = seconds(one), seconds(two)
    extra = {part: spent - theirs.get(part, 0.0) for part, spent in ours.items()}
    gap = one["step_seconds"] - two["step_seconds"]
    most = sorted(extra, key=extra.__getitem__, reverse=True)[:3]
    shares = ", ".join(f"{part} {extra[part] / gap:.0%}" for part in most) if gap > 0 else "none"
    return (
        f"- {data}: net_1 has {parameters:.1f} times net_2's parameters and {work:.1f} times its multiply-adds; a step takes "
        f"{one['step_seconds'] / two['step_seconds']:.1f} times as long. The additional time is spent in: {shares}."
    )


def seconds(net: Net) -> dict[str, float]:
    """Return the seconds of a step by layer, and those of the update."""
    layers = {row["layer"]: row["forward_seconds"] + row["backward_seconds"] for row in net["rows"]}
    return layers | {"the update of the parameters": net["update_seconds"]}
