"""The ledger of each net: what each layer has, costs, keeps and sees."""

from __future__ import annotations

from typing import Any

from scratchnet.tools.reproduce import ledger
from scratchnet.tools.reproduce.page import Page, spoken, table

ABOUT = """Multiply-adds and bytes are for one image: backward's are those of the parameters' gradients and of the input's,
which the first layer does without. "Kept" is what training keeps of an image for backward; an array that two layers keep
stands at the first. Milliseconds are for a training step, medians; what of the step stands at no layer is the loss and
the moving of the parameters."""


def costs(page: Page) -> str:
    """Write the chapter."""
    found = ledger.read(page.out)
    parts = ["## What each layer costs"]
    if found is None:
        return "\n\n".join([*parts, "Not measured yet: `scratchnet reproduce --only ledger` does it."])
    machine = found["machine"]
    parts.append(f"{ABOUT} Measured on {machine['processor']}, {machine['threads']} thread{'s' * (machine['threads'] != 1)}.")
    for name, net in found["nets"].items():
        parts += [f"### {name.split()[0]} on {spoken(name.split()[1])}", _table(net), _words(net)]
    parts += ["### Why net_1 is slow", *_why(found["nets"])]
    return "\n\n".join(parts)


def _table(net: dict[str, Any]) -> str:
    lines = [
        [
            f"{row['layer']} ({row['kind']})",
            "×".join(map(str, row["output_shape"])),
            f"{row['parameters']:,}",
            f"{row['forward_madds']:,}",
            f"{row['backward_madds']:,}",
            f"{row['cache_bytes']:,}",
            "×".join(map(str, row["receptive_field"])),
            f"{1e3 * row['forward_seconds']:.2f}",
            f"{1e3 * row['backward_seconds']:.2f}",
        ]
        for row in net["rows"]
    ]
    keys = ("parameters", "forward_madds", "backward_madds", "cache_bytes")
    sums = [f"{sum(row[key] for row in net['rows']):,}" for key in keys]
    times = [f"{1e3 * sum(row[key] for row in net['rows']):.2f}" for key in ("forward_seconds", "backward_seconds")]
    lines.append(["**all layers**", "", *sums, "", *times])
    head = ["layer", "output", "parameters", "multiply-adds, forward", "backward", "bytes kept", "sees"]
    return table([*head, "ms forward", "ms backward"], lines)


def _words(net: dict[str, Any]) -> str:
    rows = net["rows"]
    weights, weight_share = ledger.heaviest(rows, "parameters")
    work, work_share = ledger.heaviest(rows, "forward_madds")
    step, update = net["step_seconds"], net["update_seconds"]
    return (
        f"`{weights['layer']}` holds {weight_share:.1%} of the parameters; `{work['layer']}` does {work_share:.1%} of the forward "
        f"multiply-adds. A training step of {net['batch_size']} images takes {1e3 * step:.1f} ms, of which moving the parameters "
        f"takes {1e3 * update:.1f} ms ({update / step:.0%})."
    )


def _why(nets: dict[str, Any]) -> list[str]:
    """Hold net_1 against net_2 on each set of images: where do the additional milliseconds go?"""
    lines = []
    for data in dict.fromkeys(name.split()[1] for name in nets):
        one, two = nets[f"net_1 {data}"], nets[f"net_2 {data}"]
        total = {key: [sum(row[key] for row in net["rows"]) for net in (one, two)] for key in ("parameters", "forward_madds")}
        slower = one["step_seconds"] / two["step_seconds"]
        spent = {row["layer"]: row["forward_seconds"] + row["backward_seconds"] for row in one["rows"]}
        other = {row["layer"]: row["forward_seconds"] + row["backward_seconds"] for row in two["rows"]}
        extra = {name: seconds - other.get(name, 0.0) for name, seconds in spent.items()}
        extra["moving the parameters"] = one["update_seconds"] - two["update_seconds"]
        most = sorted(extra.items(), key=lambda item: -item[1])[:3]
        gap = one["step_seconds"] - two["step_seconds"]
        shares = ", ".join(f"{name} {seconds / gap:.0%}" for name, seconds in most) if gap > 0 else "none"
        lines.append(
            f"- {spoken(data)}: net_1 has {total['parameters'][0] / total['parameters'][1]:.1f} times net_2's parameters and "
            f"{total['forward_madds'][0] / total['forward_madds'][1]:.1f} times its multiply-adds; a step takes {slower:.1f} "
            f"times as long. Of the additional time: {shares}."
        )
    return ["\n".join(lines)]
