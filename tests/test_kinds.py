"""What a file is, by its name where that says it and by its content where not."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from media import write_sound, write_video
from PIL import Image

from mcxlib.data.video import container
from mcxlib.data.video.kinds import junk, kind, obstacle, special


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((n, "video") for n in ("a.mp4", "b.MKV", "c d.webm", "e.m2v", "f.2.avi")),
        *((n, "image") for n in ("a.png", "b.JPG", "c.tiff")),
        *((n, "") for n in ("a.txt", "a.json", "a.csv", "a.md", "a.xml", "a.npy", "a.zip")),
        *((n, "") for n in ("a.pdf", "a.html", "a.wav", "a.mp3", "a.m3u8", "a.mp4.part")),
        *((n, "") for n in ("a.heic", "a.nef", "a.MP3", "a.safetensors")),
    ],
)
def test_suffixes_that_are_known_answer_without_a_look(tmp_path, name, expected, monkeypatch):
    monkeypatch.setattr(container, "holds_video", None)  # would fail if it were called
    monkeypatch.setattr(Image, "open", None)
    assert kind(tmp_path / name) == expected  # there is no such file


def test_other_names_are_looked_into(tmp_path):
    video = write_video(tmp_path / "v.ts", n=20).read_bytes()
    Image.new("RGB", (8, 8)).save(tmp_path / "p.jpg")
    picture = (tmp_path / "p.jpg").read_bytes()
    song = write_sound(tmp_path / "s.mp3", "libmp3lame", cover=b"").read_bytes()
    sound = write_sound(tmp_path / "s.mp4").read_bytes()
    source = b"export const x: number = 3;\n" * 500
    for name, content, expected in (
        *(("a", video, "video"), ("b.ts", video, "video"), ("c.1", video, "video")),
        *(("d", picture, "image"), ("e.1", picture, "image")),
        *(("f.ts", source, ""), ("g", source, ""), ("h.ts", b"", ""), ("i", b"", "")),
        *(("j", song, ""), ("k.ogg", sound, "")),
        *(("l.xyz", np.random.default_rng(0).bytes(10**6), ""), ("m", bytes(10**6), "")),
        *(("n", b"ffconcat version 1.0\nfile a\n", ""), ("o", b"#EXTM3U\n#EXTINF:1,\na\n", "")),
    ):
        (tmp_path / name).write_bytes(content)
        assert (name, kind(tmp_path / name)) == (name, expected)


def test_huge_pictures_are_pictures(tmp_path, monkeypatch):
    Image.new("RGB", (20, 30)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert kind(tmp_path / "a") == "image"


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "nothing").symlink_to(tmp_path / "gone")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "empty").touch()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        found = {p.name: (special(p), obstacle(p), kind(p)) for p in tmp_path.iterdir()}
    circle = found.pop("circle")
    assert (circle[0], circle[2]) == ("", "")
    assert "symbolic links" in circle[1]
    assert found == {
        "pipe": ("a named pipe", "a named pipe, not a file", ""),
        "link": ("a named pipe", "a named pipe, not a file", ""),
        "zero": ("a device", "a device, not a file", ""),
        "nothing": ("", "no such file", ""),
        "folder": ("", "a folder, not a file", ""),
        "file": ("", "", ""),
        "empty": ("", "the file is empty (0 bytes)", ""),
        "socket": ("a socket", "a socket, not a file", ""),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((n, True) for n in (".DS_Store", "._000.png", "Thumbs.db", "desktop.ini", "Desktop.ini")),
        *((n, True) for n in ("__MACOSX", "@eaDir", ".tmp-a-1-0a1b2c3d.png")),
        *((n, False) for n in ("000.png", "thumbs.png", "a.db", "desktop", "real", "Ä.mp4")),
    ],
)
def test_litter(name, expected):
    assert junk(name) is expected


def test_every_container_is_one_that_ffmpeg_reads_from_the_file_alone():
    import av

    for name in container.DEMUXERS.split(","):
        form = av.format.ContainerFormat(name, "r")
        assert form.is_input
        assert not form.no_file  # finds its files itself
    followers = {"hls", "dash", "concat", "image2", "sdp", "rtsp", "rtp", "sap", "vobsub", "lavfi"}
    assert not followers & set(container.DEMUXERS.split(","))


def test_names_need_no_library_that_decodes():
    code = (
        "import sys; from pathlib import Path; from mcxlib.data.video import kinds\n"
        "kinds.kind(Path('a.mp4')), kinds.kind(Path('a.png')), kinds.kind(Path('a.txt'))\n"
        "print([m for m in ('av', 'cv2', 'torch', 'PIL', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
