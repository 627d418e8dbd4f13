"""Rendered clips and files that are none -> answers, by older weights and by today's."""

import json
import os
import socket
import threading
import weakref

import numpy as np
import pytest
from fuzz import WEIGHTS, run
from media import write_video
from PIL import Image

import mcxlib
from mcxlib import weights
from mcxlib.answer import judge, look
from mcxlib.answer.judge import Judge, Options
from mcxlib.answer.schema import VERDICTS
from mcxlib.data.faces.choice import Face
from mcxlib.data.faces.crop import crop_face
from mcxlib.data.video.reader import read_frames
from mcxlib.synthetic import render_person


@pytest.fixture(scope="module")
def judges():
    with Judge(WEIGHTS, Options(max_frames=8)) as made:
        yield made


@pytest.fixture(scope="module")
def people():
    return [render_person((seed,), 240, 240, 8) for seed in (1, 2)]


@pytest.fixture(scope="module")
def clip(people, tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "one.mp4"
    return write_video(path, 8, (240, 240), frames=people[0])


def scores_by_hand(path, boxes, size):
    """Scores of the crops around ``boxes``, through the network without any of the rest."""
    loaded = weights.load(WEIGHTS)
    data, side = loaded.config.data, loaded.config.train.input_size
    frames = read_frames(path, list(range(len(boxes))))
    crops = np.stack(
        [
            crop_face(frame.image, box, data.crop_rule, data.crop_size)
            for frame, box in zip(frames, boxes, strict=True)
        ]
    )
    room = (size - side) // 2
    import torch

    inner = crops[:, room : room + side, room : room + side].astype(np.float32) / 255
    with torch.inference_mode():
        logits = loaded.model(torch.from_numpy(inner).permute(0, 3, 1, 2))
        return crops, loaded.model.fake_score(logits).numpy()


def test_one_person_has_the_scores_of_its_crops(judges, clip):
    judged = judges(clip)
    answer = judged.answer
    (person,) = answer.people
    assert [face.frame for face in person.faces] == list(range(8))
    assert [face.seconds for face in person.faces] == pytest.approx([i / 25 for i in range(8)])
    size = judged.network.config.data.crop_size
    crops, expected = scores_by_hand(clip, [face.box for face in person.faces], size)
    np.testing.assert_array_equal(judged.crops[1], crops)
    assert [face.fake_score for face in person.faces] == pytest.approx(expected, abs=1e-5)
    assert person.score.value == pytest.approx(expected.mean(), abs=1e-5)
    assert answer.score == person.score
    assert answer.verdict == person.verdict in VERDICTS
    assert sum(person.classes.values()) == pytest.approx(1, abs=1e-5)
    assert 1 - person.classes["real"] == pytest.approx(person.score.value, abs=1e-5)
    assert (answer.frames_read, answer.frames_used, answer.reason) == (8, 8, "")


def test_older_weights_say_what_they_lack_and_rendered_ones_what_they_know(judges, clip):
    answer = judges(clip).answer
    assert answer.weights.synthetic
    assert answer.weights.warning in answer.limitations
    assert answer.probability is None
    assert any("is no probability" in line for line in answer.limitations)
    assert answer.weights.false_alarms is None


def test_two_people_side_by_side_are_judged_one_by_one(judges, people, tmp_path):
    frames = np.concatenate(people, axis=2)
    path = write_video(tmp_path / "two.mp4", 8, (480, 240), frames=frames)
    answer = judges(path).answer
    assert [len(person.faces) for person in answer.people] == [8, 8]
    centres = sorted(np.mean([(f.box[0] + f.box[2]) / 2 for f in p.faces]) for p in answer.people)
    assert centres[0] < 240 < centres[1]
    worst = max(answer.people, key=lambda p: (VERDICTS.index(p.verdict), p.score.value))
    assert (answer.person, answer.verdict) == (worst.number, worst.verdict)
    assert "2 people were judged one by one" in answer.evidence[0]


def test_a_cut_makes_two_people_of_one_place(judges, people, tmp_path):
    frames = np.concatenate([people[0][:4], people[1][:4]])
    path = write_video(tmp_path / "cut.mp4", 8, (240, 240), frames=frames)
    answer = judges(path).answer
    assert [[f.frame for f in p.faces] for p in answer.people] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert any(line.startswith("1 cut found") for line in answer.limitations)


def test_a_folder_of_frames_and_a_picture(judges, people, tmp_path):
    for number, frame in enumerate(people[0][:5]):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    answer = judges(tmp_path).answer
    assert (answer.kind, answer.frames_used) == ("frames", 5)
    assert answer.people[0].faces[0].seconds is None
    picture = judges(tmp_path / "0.png").answer
    assert (picture.kind, picture.verdict) == ("image", "uncertain")
    assert (picture.score.low, picture.score.high) == (0, 1)
    assert picture.people[0].faces[0].fake_score == pytest.approx(
        answer.people[0].faces[0].fake_score, abs=1e-6
    )


def test_a_long_clip_is_never_in_memory_as_a_whole(judges, people, tmp_path, monkeypatch):
    """Frames lie in a file of bounded size, from which one after another is taken."""
    bytes_each, room = 240 * 240 * 3, 5
    path = write_video(tmp_path / "long.mp4", 48, (240, 240), frames=list(people[0]) * 6)
    monkeypatch.setattr(judge, "_ROOM", room * bytes_each + 1)
    monkeypatch.setattr(judges, "options", Options(max_frames=48))
    run, waiting, alive, most = judges.sandbox.run, [], [], []

    def reading(function, *arguments):
        result = run(function, *arguments)
        if function is look.fetch:
            waiting.append(arguments[2].stat().st_size)
        return result

    class Finder:
        independent = False

        def reset(self):
            pass

        def __call__(self, frame, number):
            owner = frame if frame.base is None else frame.base
            alive.append(weakref.ref(owner))
            kept = {id(ref()): ref().nbytes for ref in alive if ref() is not None}
            most.append(sum(kept.values()))
            return [Face((60.0, 60.0, 180.0, 180.0), 1.0)]

    monkeypatch.setattr(judges.sandbox, "run", reading)
    monkeypatch.setattr(judges, "finder", Finder())
    judged = judges(path)
    assert (judged.answer.frames_read, len(most)) == (48, 48)
    assert waiting == [room * bytes_each] * 9 + [3 * bytes_each]
    assert max(most) <= 2 * bytes_each  # the frame, and the one before until it is replaced
    size = judged.network.config.data.crop_size
    assert sum(crops.nbytes for crops in judged.crops.values()) == 48 * size * size * 3


def test_nobody_to_judge_is_a_reason_and_no_score(judges, people, tmp_path):
    empty = write_video(tmp_path / "wall.mp4", 6, (96, 64))
    answer = judges(empty).answer
    assert (answer.verdict, answer.score) == (None, None)
    assert answer.reason == "no face in 6 frames"
    assert [(n.what, n.count) for n in answer.not_judged] == [("frame", 6)]
    short = write_video(tmp_path / "short.mp4", 3, (240, 240), frames=people[0])
    answer = judges(short).answer
    assert (answer.verdict, answer.people) == (None, ())
    assert "too short, at least 4 are needed" in answer.reason


def test_what_is_no_file_is_refused_without_being_opened(judges, tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video at all, but some words" * 9)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.mp4")
        said = {
            name: judges(tmp_path / name).answer.reason
            for name in ("pipe.mp4", "folder.mp4", "empty.mp4", "socket.mp4", "none.mp4")
        }
    assert said == {
        "pipe.mp4": "a named pipe, not a file",
        "folder.mp4": "the folder holds no image",
        "empty.mp4": "the file is empty (0 bytes)",
        "socket.mp4": "a socket, not a file",
        "none.mp4": "no such file",
    }
    assert judges("/dev/zero").answer.reason == "a device, not a file"
    assert judges(tmp_path / "text.mp4").answer.reason.startswith("not a readable video")


def test_a_file_that_grows_is_refused(judges, clip, tmp_path, monkeypatch):
    path = tmp_path / "growing.mp4"
    path.write_bytes(clip.read_bytes())
    at_first = look.content(path)
    monkeypatch.setattr(look, "_PART", 64)
    plain, reads = look.hashlib.sha256, []

    class Growing:
        def __init__(self):
            self.inner = plain()

        def update(self, part):
            reads.append(len(part))
            with open(path, "ab") as file:
                file.write(b"more")
            self.inner.update(part)

        def hexdigest(self):
            return self.inner.hexdigest()

    monkeypatch.setattr(look.hashlib, "sha256", Growing)
    answer = judges(path).answer
    assert answer.reason == "the file changes while it is read; wait until it is complete"
    assert sum(reads) <= at_first.bytes + 64
    monkeypatch.undo()
    assert look.changed(path, at_first)
    assert not look.changed(clip, look.content(clip))


def test_nothing_in_a_folder_is_parsed_here(people, tmp_path, monkeypatch):
    from PIL import Image as pillow

    for name in ("1.png", "2"):  # the second is known for a picture by its content only
        pillow.fromarray(people[0][0]).save(tmp_path / name, format="PNG")
    os.mkfifo(tmp_path / "3.png")
    (tmp_path / ".hidden.png").touch()
    monkeypatch.setattr(pillow, "open", lambda *a, **k: pytest.fail("opened"))
    first = look.content(tmp_path)
    assert first.bytes == sum((tmp_path / name).stat().st_size for name in ("1.png", "2"))
    assert len(first.stamp) == 3
    assert not look.changed(tmp_path, first)
    (tmp_path / "2").rename(tmp_path / "4")
    assert look.content(tmp_path).sha256 != first.sha256
    (tmp_path / "1.png").unlink()
    assert look.changed(tmp_path, first)


def test_a_file_longer_than_allowed_is_refused_before_it_is_decoded(clip, monkeypatch):
    monkeypatch.setattr(look, "MOST_FRAMES", 7)
    with pytest.raises(look.Unreadable, match="8 frames are more than the 7 allowed"):
        look.look(clip, 0, 32)
    monkeypatch.setattr(look, "MOST_BYTES", 100)
    with pytest.raises(look.Unreadable, match="bytes are more than the 100 allowed"):
        look.content(clip)


def test_frames_come_in_parts_that_fit(clip, tmp_path):
    one = 240 * 240 * 3
    got = look.fetch(clip, list(range(8)), tmp_path / "out", 3 * one + 5)
    assert [(g.number, g.offset) for g in got] == [(0, 0), (1, one), (2, 2 * one)]
    pixels = np.fromfile(tmp_path / "out", np.uint8).reshape(3, 240, 240, 3)
    for frame, image in zip(read_frames(clip, [0, 1, 2]), pixels, strict=True):
        np.testing.assert_array_equal(frame.image, image)
    assert len(look.fetch(clip, [0, 1], tmp_path / "out", 1)) == 1  # one at least


def test_nothing_is_asked_of_a_network(judges, clip, monkeypatch):
    def refuse(self, address):
        if self.family != socket.AF_UNIX:
            raise AssertionError(f"a connection to {address}")
        return plain(self, address)

    plain = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail(f"looked up {a}"))
    assert judges(clip).answer.verdict
    # What the other process does, here.
    seen = look.look(clip, 0, 8)
    assert len(seen.indices) == 8
    assert seen.credentials.state in ("none", "not checked")


def test_weights_of_today_give_probabilities_false_alarms_and_the_fourth_verdict(
    judges, clip, tmp_path
):
    loaded = weights.load(WEIGHTS)
    score = judges(clip).answer.score
    low = score.low / 2
    real = {
        "videos": 150,
        "reach": [{"threshold": low, "videos": 3}],
        "rare_level": low,
        "reach_rare_level": 1,
    }
    card = loaded.card.model_copy(
        update={
            "validation": {"threshold_best_bosc": low, "real_videos": real},
            "calibration": {"temperature": 2.0},
            "trained_on": {"dataset": "FaceForensics++", "synthetic": False},
        }
    )
    weights.save(tmp_path / "w.safetensors", loaded.model, card)
    with Judge(tmp_path / "w.safetensors", Options(max_frames=8)) as today:
        answer = today(clip).answer
    assert answer.verdict == "likely manipulated"
    assert answer.score == score
    expected = 1 / (1 + np.sqrt((1 - score.value) / score.value))  # logit halved
    assert answer.probability.value == pytest.approx(expected)
    assert answer.weights.false_alarms.value == 3 / 150
    assert answer.weights.warning == ""
    assert any("0.7% of the real validation videos reach" in line for line in answer.evidence)


def test_weights_whose_crops_cannot_be_made_are_refused(tmp_path):
    loaded = weights.load(WEIGHTS)
    contract = loaded.card.crop_contract | {"loose_factor": 2.0}
    card = loaded.card.model_copy(update={"crop_contract": contract})
    weights.save(tmp_path / "w.safetensors", loaded.model, card)
    with pytest.raises(ValueError, match=r"loose_factor 2\.0, which this program does not make"):
        Judge(tmp_path / "w.safetensors")


def test_the_function_of_the_package(clip):
    answer = mcxlib.detect(clip, WEIGHTS, max_frames=4, people="largest")
    assert answer.options == {
        "every": 0,
        "max_frames": 4,
        "people": "largest",
        "precision": "fp32",
    }
    assert len(answer.people[0].faces) == 4
    assert json.loads(answer.model_dump_json())["schema_version"] == 1
    with pytest.raises(ValueError, match="--weights demo takes the demonstration's"):
        mcxlib.detect(clip)
    with pytest.raises(ValueError, match="max_frames must lie in 1 to 256, not 0"):
        mcxlib.detect(clip, WEIGHTS, max_frames=0)


def test_two_hundred_broken_files_end_in_a_verdict_or_a_reason():
    before = threading.active_count()
    ends = run(200)
    assert ends.total() == 200
    assert any(end in VERDICTS for end in ends)
    assert any(end not in VERDICTS for end in ends)
    assert threading.active_count() == before  # the pool is gone
