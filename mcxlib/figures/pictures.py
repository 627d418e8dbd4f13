"""Pictures: t-SNE maps (Fig. 3), class activation maps (Fig. 4 to 6), sheets of crops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mcxlib.figures.style import Plate, looks, mark, new_figure, of, style
from mcxlib.figures.vector import tile

if TYPE_CHECKING:
    from mcxlib.explain import Agreement

# As in the paper's Fig. 6: a green ground for Output Real, a pink one for Output Fake.
_GROUND = {"real": "#e3f1e3", "fake": "#f9e3ea"}


def tsne_panels(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]],
    agreements: Mapping[str, Agreement] | None = None,
    source: str = "",
) -> Plate:
    """t-SNE maps side by side (Fig. 3), classes by colour and marker.

    Args:
        panels: title -> (points (N, 2), class names (N,)).
        agreements: title -> :func:`mcxlib.explain.neighbour_agreement` of the panel's *features*,
            printed under its map. The axes of t-SNE have no unit and no numbers.

    Raises:
        ValueError: no panel, or points and labels that do not fit.
    """
    if not panels:
        raise ValueError("no panels: panels must be {title: (points, class names)}")
    agreements = agreements or {}
    classes = looks(str(x) for _, labels in panels.values() for x in np.unique(labels))
    texts = []
    with style():
        figure = new_figure(3.6 * len(panels), 3.9)
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (title, (points, labels)) in zip(axes, panels.items(), strict=True):
            points, labels = np.asarray(points), np.asarray(labels).astype(str)
            if points.shape != (len(labels), 2):
                raise ValueError(f"{title}: {points.shape} points for {len(labels)} labels")
            for name, look in classes.items():
                chosen = points[labels == name]
                axis.scatter(
                    *chosen.T,
                    s=14,
                    c=look.color,
                    marker=look.marker,
                    lw=0,
                    alpha=0.75,
                    label=name,
                )
            axis.set(title=title)
            _frame_only(axis)
            text = f"{title}: {len(points)} points"
            if title in agreements:
                found = agreements[title]
                axis.set_xlabel(
                    f"neighbours of the same class: {found.neighbours:.2f} "
                    f"(chance {found.chance:.2f})\nsilhouette {found.silhouette:.2f}"
                )
                text += (
                    f", {100 * found.neighbours:.0f} % of neighbours of the same class (by chance "
                    f"{100 * found.chance:.0f} %), silhouette {found.silhouette:.2f}"
                )
            texts.append(text)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=min(6, len(classes)))
        mark(figure, source)
    return Plate(figure, f"t-SNE maps{of(source)} of {len(classes)} classes. {'; '.join(texts)}.")


def cam_grid(
    images: np.ndarray,
    names: Sequence[str],
    maps: Mapping[str, Mapping[str, np.ndarray]],
    source: str = "",
    title: str = "",
    masks: np.ndarray | None = None,
) -> Plate:
    """Class activation maps as in Fig. 5 and 6: a row an image, a column a method, by output.

    Args:
        images: (N, 3, H, W) in [0, 1].
        names: N row labels (the classes).
        maps: output ("real", "fake") -> method -> (N, H, W) in [0, 1]. One method alone gives
            Fig. 4. A map that is zero everywhere is marked: nothing speaks for the output.
        masks: (N, H, W) bool, whose borders are drawn over every picture of a row.

    Raises:
        ValueError: no map, or maps that do not fit the images.
    """
    # Here and not above: it brings torch and the libraries of the maps, which no chart needs.
    from mcxlib.explain import overlay

    images = np.asarray(images)
    columns = [(output, method) for output, methods in maps.items() for method in methods]
    if not columns:
        raise ValueError("no maps: maps must be {output: {method: (N, H, W)}}")
    for output, method in columns:
        if np.shape(maps[output][method]) != (len(images), *images.shape[2:]):
            raise ValueError(
                f"the maps of {method} for output {output} have shape "
                f"{np.shape(maps[output][method])}, the images {images.shape}"
            )
    if len(names) != len(images):
        raise ValueError(f"{len(names)} row names for {len(images)} images")
    n, width = len(images), 1 + len(columns)
    with style():
        side = min(1.3, 6.6 / width)  # a page is seven inches wide
        figure = new_figure(0.4 + side * width, 0.9 + side * n)
        axes = figure.subplots(n, width, squeeze=False)
        for row, (image, name) in enumerate(zip(images, names, strict=True)):
            axes[row, 0].imshow(tile(image), interpolation="none")
            axes[row, 0].set_ylabel(name)
            for column, (output, method) in enumerate(columns, start=1):
                _map(axes[row, column], image, maps[output][method][row], overlay)
            if masks is not None and masks[row].any():
                for axis in axes[row]:
                    _contour(axis, masks[row])
        for axis in axes.flat:
            _frame_only(axis)
        axes[0, 0].set_title("crop")
        for column, (output, method) in enumerate(columns, start=1):
            axes[0, column].set_title(
                "\n= ".join(method.split(" = ")) + f"\n({output})",
                fontsize=7,
                backgroundcolor=_GROUND.get(output, "white"),
            )
        if title:
            figure.suptitle(title, fontsize=9)
        mark(figure, source)
    outlined = "; lines show where the fakes were altered" if masks is not None else ""
    return Plate(figure, _cam_alt(names, maps, title, source, outlined))


def _cam_alt(
    names: Sequence[str],
    maps: Mapping[str, Mapping[str, np.ndarray]],
    title: str,
    source: str,
    outlined: str,
) -> str:
    parts = []
    for output, methods in maps.items():
        wide = [100 * (np.asarray(m) > 0.5).mean() for m in methods.values()]
        parts.append(f"output {output}, {np.mean(wide):.0f} % of the area")
    named = f" of {title}" if title else ""
    kinds = dict.fromkeys(method for methods in maps.values() for method in methods)
    return (
        f"Class activation maps{named}{of(source)}: {len(names)} crops ({', '.join(names)}), "
        f"methods {', '.join(kinds)}; above half of a map's maximum lies, "
        f"for {', for '.join(parts)}{outlined}."
    )


def contact_sheet(
    crops: np.ndarray,
    labels: Sequence[str],
    source: str = "",
    columns: int = 8,
    title: str = "",
) -> Plate:
    """Crops in a grid, each with its label under it: (N, 3, H, W) or (N, H, W, 3), uint8 or [0, 1].

    Raises:
        ValueError: no crop, another shape, or not one label a crop.
    """
    crops = np.asarray(crops)
    if crops.ndim != 4 or 3 not in (crops.shape[1], crops.shape[3]) or not len(crops):
        raise ValueError(f"crops must be (N, 3, H, W) or (N, H, W, 3), not {crops.shape}")
    if len(labels) != len(crops):
        raise ValueError(f"{len(labels)} labels for {len(crops)} crops")
    if crops.shape[3] != 3:
        crops = crops.transpose(0, 2, 3, 1)
    columns = min(columns, len(crops))
    rows = -(-len(crops) // columns)
    with style():
        side = min(1.15, 7.0 / columns)  # a page is that wide
        figure = new_figure(side * columns, 1.13 * side * rows + (0.5 if title else 0.25))
        axes = figure.subplots(rows, columns, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for axis, crop, label in zip(axes.flat, crops, labels, strict=False):
            axis.imshow(tile(crop), interpolation="none")
            axis.text(
                0.5, -0.04, label, fontsize=7, ha="center", va="top", transform=axis.transAxes
            )
        if title:
            figure.suptitle(title, fontsize=9)
        mark(figure, source)
    labels = list(labels)
    counts = ", ".join(f"{labels.count(x)} {x}" for x in dict.fromkeys(labels))
    named = f" of {title}" if title else ""
    return Plate(
        figure, f"Contact sheet{named}{of(source)} with {len(crops)} face crops: {counts}."
    )


def _map(axis: Any, image: np.ndarray, map: np.ndarray, overlay: Callable) -> None:
    axis.imshow(tile(overlay(image, map)), interpolation="none")
    if not np.asarray(map).any():
        words = {"ha": "center", "va": "center", "transform": axis.transAxes}
        axis.text(0.5, 0.08, "nothing", fontsize=7, color="white", **words)


def _contour(axis: Any, mask: np.ndarray) -> None:
    """The border of a mask, over a picture of any size."""
    height, width = axis.images[0].get_array().shape[:2]
    x = (np.arange(mask.shape[1]) + 0.5) * width / mask.shape[1] - 0.5
    y = (np.arange(mask.shape[0]) + 0.5) * height / mask.shape[0] - 0.5
    # A blue that no colour of the map comes near.
    axis.contour(x, y, mask.astype(float), [0.5], colors="#56B4E9", linewidths=1.2)


def _frame_only(axis: Any) -> None:
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)
