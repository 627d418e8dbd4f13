"""What a file is: video, image, system litter, or no file at all.

Light to import: what opens files is loaded only when a file has to be looked into.
"""

from __future__ import annotations

import stat
import warnings
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv"}
    # Frames without a container, which no signature tells from other files.
    | {".mjpeg", ".mjpg", ".m1v", ".m2v", ".h264", ".264", ".h265", ".265", ".hevc"}
)
"""Suffixes that need no look inside. Others that videos have too (``.ts`` is also a program's
source text, ``.ogg`` mostly sound, ``.3gp`` either) are looked into."""

# By line: words, tables and programs; what goes with data sets and trained networks; archives and
# checksums; downloads under way; sound; subtitles, and lists that name other files; pictures of
# kinds that are not read.
_OTHER = """
.txt .md .rst .log .csv .tsv .json .jsonl .xml .html .htm .css .yml .yaml .toml .ini .cfg .conf .pdf
.doc .docx .xls .xlsx .ppt .pptx .odt .ods .rtf .tex .bib .py .pyc .ipynb .sh .bat .js .c .h .cpp .m
.mat .db .sqlite .lmdb .mdb .parquet .feather .arrow .h5 .hdf5 .npy .npz .pkl .pickle .pt .pth .ckpt
.safetensors .onnx .pb .tfrecord .bin .lock .url .lnk
.zip .tar .gz .tgz .bz2 .xz .zst .7z .rar .iso .md5 .sha1 .sha256 .sum .torrent
.part .partial .crdownload .download .filepart .aria2 .tmp .temp .bak
.wav .mp3 .m4a .aac .flac .wma .opus .oga .aif .aiff .mka .amr .mid .midi
.srt .vtt .ass .ssa .sub .idx .lrc .m3u .m3u8 .pls .mpd .xspf .cue .ffconcat .sdp
.heic .heif .avif .jxl .jp2 .j2k .svg .ico .psd .xcf .eps .ai .exr .hdr .dng .nef .cr2 .cr3 .arw
.orf .rw2 .raf .raw
"""

OTHER_SUFFIXES = frozenset(_OTHER.split())
"""Suffixes of files that are neither video nor image, whatever they may hold."""

ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})

MAX_PIXELS = 8192 * 8192
"""Pictures and frames with more pixels than this are refused: their decoding alone would take
more memory than a worker process is meant to have, and no camera makes them."""

_LITTER = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "lost+found"}
    | {"$recycle.bin", "system volume information"}
)

_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def junk(name: str) -> bool:
    """Whether systems leave files or folders of this name beside a user's own.

    Hidden names are among them: macOS's ``._000.png`` looks like an image and is none.
    """
    return name.startswith(".") or name.lower() in _LITTER


def special(path: Path) -> str:
    """What a path is that is neither a file nor a folder ("a named pipe", say); else "".

    Also "" for a path that is not there. The file is not opened, which could wait forever.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    return _SPECIAL.get(stat.S_IFMT(mode), "")


def obstacle(path: Path) -> str:
    """Why a path cannot be read as a file ("no such file", ...); "" if it may be opened."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except OSError as error:
        return error.strerror or str(error)
    if what := _SPECIAL.get(stat.S_IFMT(status.st_mode), ""):
        return f"{what}, not a file"
    if stat.S_ISDIR(status.st_mode):
        return "a folder, not a file"
    return "" if status.st_size else "the file is empty (0 bytes)"


def kind(path: Path) -> str:
    """ "video", "image" or "": by the suffix where that is known, else by looking inside.

    A file whose suffix is in none of the lists above (or that has none) is a video if it is of a
    container in :data:`mcxlib.data.video.container.CONTAINERS` and has moving pictures. "" is also
    the answer for folders, pipes, empty files, and files that may not be read.
    """
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return "video"
    if is_image(path):
        return "image"
    if path.suffix.lower() in OTHER_SUFFIXES or obstacle(path):
        return ""
    from mcxlib.data.video.container import holds_video

    return "video" if holds_video(path) else ""


def is_image(path: Path) -> bool:
    """Whether :func:`kind` is "image", without asking what kind of video it may be."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix in VIDEO_SUFFIXES or suffix in OTHER_SUFFIXES or obstacle(path):
        return False
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a great many pixels: said where they are read
            Image.open(path, formats=("PNG", "JPEG", "BMP", "WEBP", "TIFF")).close()
        return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # of every kind: most files are no images
        return False
