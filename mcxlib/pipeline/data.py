"""From videos to crops: where a data set lies, what it holds, which faces were cut out of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mcxlib.data import datasets
from mcxlib.data.datasets.places import is_place, own_name
from mcxlib.data.faces import contract as contracts
from mcxlib.files import read_json, write_json, write_text
from mcxlib.pipeline.common import alone, progress
from mcxlib.schemas import read_note, write_noted
from mcxlib.settings import paths
from mcxlib.settings.data import CROP_FIELDS, PROTOCOL_FIELDS, DataConfig

if TYPE_CHECKING:
    import pandas as pd

    from mcxlib.config import RunConfig
    from mcxlib.data.datasets.base import Dataset
    from mcxlib.synthetic import DemoSpec

ALL_DATASETS = datasets.paper_order()

MANIFEST_FORMAT = 1
"""Of stored manifests. Older ones lack what shows copies and rendered videos, and are read anew."""


@dataclass(frozen=True)
class Plan:
    """Where everything of one data set lies under one configuration."""

    data: DataConfig
    dataset: Dataset
    name: str
    root: Path
    """The data set's own folder; of a labelled table, the one that holds it."""
    protocol: str
    split_list: Path
    """Where the list of its videos that are used is kept."""
    manifest: Path
    crops: Path
    """Folder of the crops; what is cut with other settings has another folder."""

    @property
    def title(self) -> str:
        return f"{self.name} ({self.data.videos})"


def _data(config: DataConfig | RunConfig) -> DataConfig:
    return config if isinstance(config, DataConfig) else config.data


def usual_videos(preset: str) -> str:
    """Which videos a preset takes if nothing else is said."""
    return "distributed" if preset == "paper" else "rendered"


def home_of(config: DataConfig | RunConfig) -> str:
    """Name of the folders that data, runs and results of a configuration lie in."""
    data = _data(config)
    if data.videos == usual_videos(data.preset):
        return data.preset
    return f"{data.preset}-{data.videos}"


def _default(name: str, preset: str) -> object:
    from mcxlib.presets import PRESETS

    return PRESETS[preset].get(name, DataConfig.model_fields[name].default)


def _variant(data: DataConfig, dataset: Dataset, name: str, fields: tuple[str, ...]) -> str:
    """A name for what is made of a data set: itself, and each setting that is not the preset's."""
    of_faceforensics = "FaceForensics++" in (dataset.name, dataset.home)
    changed = [
        f"{field}={getattr(data, field)}"
        for field in fields
        if getattr(data, field) != _default(field, data.preset)
        and (field != "compression" or of_faceforensics)
    ]
    return "_".join([name, *changed])


def plan(config: DataConfig | RunConfig, dataset: str) -> Plan:
    """Resolve a data set once: its place, its protocol and the files made of it.

    Raises:
        FileNotFoundError: a path that does not exist; says what it could be.
    """
    data = _data(config)
    place = datasets.locate(dataset, videos_folder(data))
    known = datasets.find(place.name)
    home = home_of(data)
    split = datasets.list_name(place.name, data)
    manifest = _variant(data, known, place.name, ("compression",))
    if split != datasets.list_name(place.name, _plain(data)):
        manifest = f"{manifest}_{split.removeprefix(place.name + '_')}"
    cut = _variant(data, known, place.name, ("compression", *CROP_FIELDS))
    return Plan(
        data=data,
        dataset=known,
        name=place.name,
        root=place.root,
        protocol=known.protocol_of(data),
        split_list=paths.split_list(home, split),
        manifest=paths.manifest(home, manifest),
        crops=paths.crops(home, cut),
    )


def _plain(data: DataConfig) -> DataConfig:
    """The same with the preset's own protocols and draw."""
    usual = {name: _default(name, data.preset) for name in (*PROTOCOL_FIELDS, "train_on")}
    return data.model_copy(update=usual)


def crop_folder(config: DataConfig | RunConfig, dataset: str) -> Path:
    """Where the crops of ``dataset`` lie."""
    return plan(config, dataset).crops


def videos_folder(data: DataConfig) -> Path:
    """The folder that holds one folder a data set."""
    if data.videos == "distributed":
        return paths.distributed()
    return paths.rendered("demo" if data.preset == "paper" else data.preset)


def ensure_videos(config: DataConfig | RunConfig, workers: int | None = None) -> Path:
    """The folder with the data sets; rendered ones are made if they are missing.

    Raises:
        FileNotFoundError: no such folder of distributed data sets; says how to point to it.
    """
    data = _data(config)
    folder = videos_folder(data)
    if data.videos == "distributed":
        if not folder.is_dir():
            raise FileNotFoundError(
                f"no folder {folder}: set MCX_VIDEOS to the folder that holds "
                f"{', '.join(ALL_DATASETS)}"
            )
        return folder
    from mcxlib import synthetic

    spec = _spec(data)
    with alone(folder, "synthetic videos"):
        if not synthetic.is_complete(folder, spec):
            with progress("synthetic videos") as show:
                synthetic.make(folder, spec, workers=workers or 2, progress=show)
    return folder


def _spec(data: DataConfig) -> DemoSpec:
    from mcxlib.synthetic import DemoSpec

    return DemoSpec.small() if data.preset == "test" else DemoSpec()


def _ensure_root(at: Plan, workers: int | None = None) -> Path:
    if at.root.is_relative_to(videos_folder(at.data)):
        ensure_videos(at.data, workers)
    return at.root


def make_manifest(
    config: DataConfig | RunConfig,
    dataset: str,
    workers: int | None = None,
    *,
    listed: Path | None = None,
    follow_links: bool = False,
    deepfakebench: Path | None = None,
) -> datasets.Scan:
    """Read the folder of ``dataset`` (again) and write its manifest; one row a video.

    Beside it lie what was expected and found of each part and the files that were left out, and
    in ``splits/`` the list of the videos that are used. A protocol that draws at random keeps to
    its list once that exists, whatever comes to or goes from the folder later.

    Args:
        config: says which compression and which protocol.
        dataset: one of the data sets, the name of one's own, or a path.
        workers: processes that render synthetic videos, if they are missing.
        listed: a list of videos to use in place of the protocol's own choice.
        follow_links: also read what symbolic links outside the data set's folder point to.
        deepfakebench: a JSON file of DeepfakeBench's that describes its frame folders.
    """
    at = plan(config, dataset)
    root = _ensure_root(at, workers)
    with alone(at.manifest, f"manifest of {at.name}"):
        if deepfakebench is not None:
            from mcxlib.data.datasets.deepfakebench import read_deepfakebench

            found = read_deepfakebench(deepfakebench, root, at.name, at.data)
        else:
            found = datasets.scan(
                root,
                at.name,
                at.data,
                listed=listed,
                kept=at.split_list,
                follow_links=follow_links,
            )
        beside = at.manifest.with_name
        write_json(beside(f"{at.manifest.stem}.parts.json"), found.parts.to_dict("records"))
        left_out = found.left_out.to_csv(index=False)
        write_text(beside(f"{at.manifest.stem}.left_out.csv"), left_out)
        if found.list_name:
            datasets.keep(at.split_list.with_name(f"{found.list_name}.csv"), found)
        note = {"format": MANIFEST_FORMAT, "protocol": found.protocol}
        write_noted(at.manifest, found.manifest, note)
    return found


def protocol_used(config: DataConfig | RunConfig, dataset: str) -> str:
    """The protocol, or foreign list, by which the stored manifest was split."""
    return read_note(plan(config, dataset).manifest).get("protocol", "")


def ensure_manifest(
    config: DataConfig | RunConfig, dataset: str, workers: int | None = None
) -> pd.DataFrame:
    """One row a video of ``dataset``, as :func:`make_manifest` found them the last time."""
    import pandas as pd

    at = plan(config, dataset)
    if not at.manifest.is_file() or read_note(at.manifest).get("format") != MANIFEST_FORMAT:
        for line in make_manifest(config, dataset, workers).warnings():
            print(f"{at.name}: {line}", file=sys.stderr)
    return pd.read_parquet(at.manifest)


def parts(config: DataConfig | RunConfig, dataset: str) -> pd.DataFrame:
    """Videos expected and found in each part of ``dataset``, as its manifest was made."""
    import pandas as pd

    path = plan(config, dataset).manifest
    return pd.DataFrame(read_json(path.with_name(f"{path.stem}.parts.json")))


def left_out(config: DataConfig | RunConfig, dataset: str) -> pd.DataFrame:
    """The files of ``dataset`` that are in no manifest, and why: columns path, reason."""
    import pandas as pd

    path = plan(config, dataset).manifest
    return pd.read_csv(path.with_name(f"{path.stem}.left_out.csv"), dtype=str)


def finished_crops(at: Plan, manifest: pd.DataFrame) -> pd.DataFrame | None:
    """The rows of a crop folder that has all of ``manifest``'s used videos; else None.

    Files are replaced whole, so this can be asked without holding the folder's lock.

    Raises:
        ValueError: the folder holds crops made under another contract; names the difference.
    """
    import pandas as pd

    table = paths.table_of(at.crops)
    if not table.is_file():
        return None
    stored, wanted = read_json(at.crops / "contract.json"), contracts.contract(at.data)
    if difference := contracts.contract_difference(stored, wanted):
        raise ValueError(
            f"the crops in {at.crops} were made with other settings ({difference}); set "
            "MCX_DATA to another folder or remove this one"
        )
    used = manifest[manifest["split"] != ""]
    rows = pd.read_parquet(table)
    made_from = rows.drop_duplicates("video_id").set_index("video_id")["source_bytes"]
    if (used["video_id"].map(made_from) == used["bytes"]).all():
        return rows[rows["video_id"].isin(used["video_id"])].reset_index(drop=True)
    return None


def ensure_crops(
    config: DataConfig | RunConfig,
    dataset: str,
    workers: int | None = None,
    shard: tuple[int, int] | None = None,
    compress: bool = False,
) -> pd.DataFrame:
    """One row a frame asked for, with the crop's place; cuts the faces that are missing.

    With ``shard`` (number, of how many) only those of every so-many-th video, so that several
    machines can share the work; a call without it joins them. ``compress`` stores what is cut now
    without loss in about half the room.
    """
    at = plan(config, dataset)
    manifest = ensure_manifest(config, dataset, workers)
    if (rows := finished_crops(at, manifest)) is not None:
        return rows
    lock = at.crops.with_name(f"{at.crops.name}.{shard[0]}of{shard[1]}") if shard else at.crops
    with alone(lock, f"faces of {at.name}"):
        if (rows := finished_crops(at, manifest)) is not None:
            return rows  # another process was faster
        from mcxlib.data.faces.extract import crop_videos

        root = _ensure_root(at, workers)
        with progress(f"faces of {at.name}") as show:
            return crop_videos(manifest, root, at.crops, at.data, workers, show, shard, compress)


def ensure_masks(
    config: DataConfig | RunConfig,
    dataset: str,
    rows: pd.DataFrame,
    workers: int | None = None,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The rows with the masks of the training fakes, which are cut if they are missing.

    Added columns are ``mask``, the file below :func:`mcxlib.settings.paths.masks_of` ("" where
    there is none, and for real faces, of which nothing was altered), and ``mask_known``. Rendered
    fakes get their mask videos now if they have none yet. A list of the videos without masks lies
    beside the folder.

    Returns:
        The rows, and how many training videos are fake ("fakes") and have masks ("with_masks").
    """
    from mcxlib.data.faces import masks

    at = plan(config, dataset)
    fakes = rows[(rows["split"] == "train") & rows["is_fake"].astype(bool)]
    folder, settings = paths.masks_of(at.crops), contracts.contract(at.data)
    below = ensure_manifest(config, dataset).set_index("video_id")["path"]
    of = at.dataset.mask_of or (lambda path: "")
    videos = {v: (at.root / below[v], at.root / of(below[v])) for v in fakes["video_id"].unique()}
    table = masks.found(fakes, videos, folder, settings)
    if at.dataset.mask_of and table["status"].eq("none").any():
        with alone(folder, f"masks of {at.name}"):
            _render_masks(at, workers)
            with progress(f"masks of {at.name}") as show:
                table = masks.cut_masks(fakes, videos, folder, settings, workers, show)
    if at.dataset.mask_of is None:
        table["note"] = f"{at.name} comes without masks"
    report = {"fakes": len(table), "with_masks": int(table["status"].eq("ok").sum())}
    without = table.loc[table["status"] != "ok", ["video_id", "status", "note"]]
    write_json(
        folder.with_name(f"{folder.name}.report.json"),
        report | {"without": without.to_dict("records")},
    )
    files = rows["video_id"].map(table.set_index("video_id")["file"]).fillna("")
    trained = rows["split"] == "train"
    files = files.where(trained, "")
    known = trained & (files.ne("") | ~rows["is_fake"].astype(bool))
    return rows.assign(mask=files, mask_known=known), report


def _render_masks(at: Plan, workers: int | None) -> None:
    """Rendered fakes get the videos of their masks, and are rendered if they are missing."""
    folder = videos_folder(at.data)
    if at.data.videos == "rendered" and at.root.is_relative_to(folder):
        from mcxlib import synthetic

        ensure_videos(at.data, workers)
        with alone(folder, "synthetic videos"), progress("masks of synthetic videos") as show:
            synthetic.make_masks(folder, _spec(at.data), workers or 2, show)


def classes_of(config: DataConfig | RunConfig) -> tuple[str, ...]:
    """The classes that the data set trained on has."""
    name = _data(config).train_on
    return plan(config, name).dataset.classes(ensure_manifest(config, name))


def name_of(dataset: str) -> str:
    """The name of a data set, or of data of one's own at a place that need not be there."""
    return own_name(Path(dataset)) if is_place(dataset) else dataset


def ensure_rows(
    config: DataConfig | RunConfig,
    dataset: str,
    workers: int | None = None,
    classes: tuple[str, ...] | None = None,
) -> pd.DataFrame:
    """The crops of ``dataset`` joined with their videos' columns, all splits."""
    from mcxlib.data.crops.rows import join

    crops = ensure_crops(config, dataset, workers)
    manifest = ensure_manifest(config, dataset)
    return join(crops, manifest, classes or plan(config, dataset).dataset.classes(manifest))


def stored_rows(
    config: DataConfig | RunConfig, dataset: str, classes: tuple[str, ...]
) -> pd.DataFrame | None:
    """The same, if manifest and crops lie finished on disk; nothing is made or looked for."""
    import pandas as pd

    from mcxlib.data.crops.rows import join

    try:
        at = plan(config, dataset)
    except FileNotFoundError:
        return None
    if not at.manifest.is_file() or read_note(at.manifest).get("format") != MANIFEST_FORMAT:
        return None
    manifest = pd.read_parquet(at.manifest)
    crops = finished_crops(at, manifest)
    return None if crops is None else join(crops, manifest, classes)
