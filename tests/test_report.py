"""The report: it says what the answer holds, shows the right faces, loads and runs nothing."""

import base64
import hashlib
import html
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import judged as made
import numpy as np
import pytest
import torch
from browser import SIZES, barriers, launched, visited
from media import write_video
from PIL import Image

from mcxlib import explain, notebook, weights
from mcxlib.answer import report
from mcxlib.answer.command import WrongUse
from mcxlib.answer.schema import Credentials, Interval

APART = {"br", "p", "td", "th", "li", "h2", "h3", "h4"}
"""What begins a word of its own."""
VOID = {"meta", "img", "br", "rect", "line", "circle"}


class Page(HTMLParser):
    """Elements in order, text by the id of what holds it, rows of tables, text of headings."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.rows, self.texts, self.headings = [], [], {}, []
        self._open, self._row = [], None
        self.feed(text)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.elements.append((tag, given))
        if tag in APART:
            self.handle_data(" ")
        if tag not in VOID:
            self._open.append((tag, given.get("id")))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append("")

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop()[0] == tag

    def handle_data(self, data):
        tags = [tag for tag, _ in self._open]
        for _, name in self._open:
            if name:
                self.texts[name] = self.texts.get(name, "") + data
        if "td" in tags or "th" in tags:
            self.rows[-1][-1] = " ".join((self.rows[-1][-1] + data).split(" "))
        if tags and {"h1", "h2", "h3", "h4"} & set(tags):
            self.headings[-1] += data

    def all(self, tag):
        return [given for name, given in self.elements if name == tag]

    def text(self, name):
        return " ".join(self.texts[name].split())

    @property
    def table(self):
        """Rows with their white space folded."""
        return [[" ".join(cell.split()) for cell in row] for row in self.rows]


@pytest.fixture(scope="module")
def judged():
    return made.judged()


@pytest.fixture(scope="module")
def text(judged):
    return report.html(judged)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


@pytest.fixture(scope="module")
def browser():
    with launched() as found:
        yield found


def picture(address):
    head, _, data = address.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


# -- what is said ---------------------------------------------------------------------------


def test_verdict_and_numbers(page):
    assert page.headings[0] == "Report on clip.mp4"
    said = page.text("verdict")
    # Person 2's mean is (0.9 + 0.95 + 0.4 + 0.99 + 0.85 + 0.97 + 0.93) / 7 = 0.856.
    assert said.startswith("Verdict likely manipulated")
    assert (
        "Score of fake 0.86 (95 % interval 0.76 to 0.91) bootstrap of 3 blocks of 1 s "
        "Probability of fake 0.86 (95 % interval 0.76 to 0.91) were real and fake equally common; "
        "Platt scaling on 40 validation videos"
    ) in said
    assert "person 2, the most suspicious of 2" in said
    assert "8 read, 7 with a judged face" in said
    assert ["2", "likely manipulated", "0.86 (0.76 to 0.91)", "7"] in page.table
    assert ["1", "no sign found", "0.16 (0.06 to 0.21)", "7"] in page.table


def test_everything_else_that_the_answer_holds(page):
    rows = page.table
    assert ["frame", "no face found", "1"] in rows
    assert ["Detector", "MCX-API(RGB) (mcx-api)"] in rows
    assert ["Trained on", "dataset: FaceForensics++ crops: train 880, val 200"] in rows
    assert ["Threshold", "0.5 (the network's own decision)"] in rows
    assert ["Calibration", "method Platt, slope 1.25"] in rows
    assert ["SHA-256", "cd" * 32] in rows
    assert ["SHA-256", "ab" * 32] in rows
    assert ["Size", "1.2 MB, 320 x 240 px, 2.8 s, 25 frames a second"] in rows
    assert ["Format", "mov,mp4,m4a, h264"] in rows
    assert ["title", "clip.mp4"] in rows
    assert "Look for the original upload." in page.text("next")
    assert "6 of 7 frames of person 2 reach the threshold" in page.text("evidence")
    assert "Faces that turn away are not seen." in page.text("limits")
    assert "encoded by libx264" in page.text("file")
    assert "12.5 % reach the threshold (interval 5 % to 25 %; 2 of 16" in page.text("limits")
    assert "Of 1000 real videos of that kind between 50 and 250 would" in page.text("limits")
    # Classes of person 2: 1 - 0.856, and half of 0.856 each.
    assert ["real", "", "0.14"] in rows
    assert ["DF (Deepfakes)", "", "0.43"] in rows
    assert ["F2F (Face2Face)", "", "0.43"] in rows
    assert ["30", "1.2 s", "0.990", "0.930"] in rows  # the fourth face of person 2


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("valid", "valid: the file is as it was signed."),
        ("invalid", "invalid: the file is not as it was signed"),
        ("none", "none. Most files have none"),
        ("not checked", "not checked"),
    ],
)
def test_content_credentials(state, words):
    facts = made.answer().file.model_copy(
        update={
            "credentials": Credentials(state=state, signer="A. Signer", problems=("hash differs",))
        }
    )
    (row,) = (r for r in Page(report.html(made.judged(file=facts))).table if "(C2PA)" in r[0])
    assert row[1].startswith(words)
    assert row[1].endswith("Signed by A. Signer hash differs")


def test_warning_comes_first_and_only_for_a_reason(page):
    sections = page.all("section")
    assert sections[0]["class"] == "warning"
    facts = made.answer().weights.model_copy(update={"synthetic": False})
    assert not [
        s
        for s in Page(report.html(made.judged(weights=facts))).all("section")
        if s.get("class") == "warning"
    ]
    facts = facts.model_copy(update={"warning": "These weights are old."})
    assert "These weights are old." in report.html(made.judged(weights=facts))


def test_levels_are_marked_where_they_are():
    facts = made.answer().weights.model_copy(
        update={
            "strong_level": 0.75,
            "strong_alarms": Interval(value=0.01, low=0.0, high=0.03, how="1 of 100"),
        }
    )
    page = Page(report.html(made.judged(weights=facts)))
    lines = [(line.get("class"), line["x1"], line["x2"]) for line in page.all("line")]
    assert ("threshold", "50.0%", "50.0%") in lines
    assert ("strong", "75.0%", "75.0%") in lines
    assert "likely manipulated from 0.75" in page.text("verdict")
    assert "reached by 1 % of them (0 % to 3 %)" in page.text("limits")


def test_nobody_was_judged():
    page = Page(report.html(made.judged(people={}, file=None)))
    assert page.text("verdict").startswith("Verdict not judged no face was found in 8 frames")
    assert "people" not in page.texts
    assert page.all("img") == page.all("circle") == []
    assert "could not be opened: /films/clip.mp4" in page.text("file")


def test_one_picture_has_no_timeline_and_one_face():
    page = Page(report.html(made.judged(people={1: (0.7,)})))
    assert [given for given in page.all("figure") if given.get("class") == "plot"] == []
    assert "Least suspicious faces" not in page.headings
    assert len(page.all("img")) == 3


# -- what is shown --------------------------------------------------------------------------


def test_timeline(page):
    plot = [given for given in page.all("circle") if given.get("r") == "4"]
    assert len(plot) == 14  # two people, seven frames each; person 2 first
    for given, (i, score) in zip(plot, enumerate(made.SCORES[2]), strict=False):
        assert float(given["cx"].rstrip("%")) == pytest.approx(100 * i / 6)
        assert float(given["cy"].rstrip("%")) == pytest.approx(100 * (1 - score))
        assert given["class"] == ("hot" if score >= 0.5 else "cool")
    labels = [given["aria-label"] for given in page.all("svg") if "aria-label" in given]
    assert (
        "Scores of person 2 in 7 frames: smallest 0.40, largest 0.99, 6 at or above the threshold "
        "of 0.50."
    ) in labels


def test_timeline_of_frames_without_times():
    faces = [
        face.model_copy(update={"seconds": None, "frame": frame})
        for face, frame in zip(made.person(1, (0.2, 0.4, 0.6)).faces, (10, 11, 14), strict=True)
    ]
    line = report.timeline(faces)
    assert line.unit == "frame"
    assert [x for x, _, _ in line.points] == pytest.approx([0, 25, 100])
    # 10, 11, 12, 13, 14: whole frames, each once.
    assert [(x, label) for x, label in line.ticks] == [(25.0 * i, str(10 + i)) for i in range(5)]


def test_the_most_and_the_least_suspicious_faces(page, judged):
    pictures = page.all("img")
    assert len(pictures) == 2 * 6 * 3  # people, faces, crop and two maps
    most, least = (3, 5, 1), (2, 4, 0)  # of 0.9, 0.95, 0.4, 0.99, 0.85, 0.97, 0.93
    size = judged.network.config.train.input_size
    cut = slice((48 - size) // 2, (48 - size) // 2 + size)
    for number, face in enumerate((*most, *least)):
        crop, fake, real = (picture(given["src"]) for given in pictures[3 * number :][:3])
        seen = judged.crops[2][face, cut, cut]
        np.testing.assert_array_equal(crop, seen)
        image = torch.tensor(seen.transpose(2, 0, 1)[None] / 255, dtype=torch.float32)
        for shown, output in ((fake, "fake"), (real, "real")):
            (found,) = explain.activation_maps(judged.network.model, image, "LayerCAM", output)
            expected = explain.overlay(image[0].numpy(), found)
            assert np.abs(shown.astype(int) - expected).max() <= 2  # float32, another batch size
    assert pictures[0]["alt"] == "Face of person 2 in frame 30, score 0.99."
    assert all(len(given["alt"]) > 20 for given in pictures)


def test_large_crops_are_made_smaller(judged):
    faces = made.person(1, (0.7,))
    large = np.full((1, 400, 400, 3), 90, np.uint8)
    (shown,) = report._shown(faces, large, np.array([0]), judged.network.model, 320)
    assert picture(shown.crop).shape == (160, 160, 3)
    assert {picture(m).shape for m in shown.maps.values()} == {(160, 160, 3)}


def test_a_detector_without_feature_map_says_so():
    text = report.html(made.judged(detector="cozzolino"))
    assert "Activation maps: this detector has none (cozzolino has no feature map" in text
    assert len(Page(text).all("img")) == 2 * 6


def test_faces_of_the_most_suspicious_people_only():
    people = {n: (0.05 * n, 0.05 * n + 0.01) for n in range(1, 11)}
    page = Page(report.html(made.judged(people=people)))
    shown = {int(re.search(r"person (\d+)", i["alt"])[1]) for i in page.all("img")[::3]}
    assert shown == set(range(3, 11))
    assert "of the 8 most suspicious people only" in page.text("people")
    headings = [h for h in page.headings if h.startswith("Person ")]
    assert [int(re.search(r"\d+", h)[0]) for h in headings] == list(range(10, 0, -1))


# -- what it must not do --------------------------------------------------------------------

HARMLESS = "harmless"
FIXED = {"verdict", "kind", "what", "state", "made", "detector", "precision"}


def hostile(value, text, name=""):
    """A dumped answer with every free text, and every free key, replaced."""
    if isinstance(value, dict):
        free = name in ("tags", "classes", "trained_on", "calibration", "options")
        return {(f"{text}{k}" if free else k): hostile(v, text, k) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return tuple(hostile(v, text, name) for v in value)
    return text if isinstance(value, str) and name not in FIXED else value


def test_text_from_a_file_never_becomes_markup():
    pages = {}
    for text in (HARMLESS, made.NASTY):
        given = made.judged()
        answer = type(given.answer)(**hostile(given.answer.model_dump(), text))
        given = type(given)(answer, given.crops, given.network)
        written = report.html(given)
        assert not set("\u202e\u2028\x00") & set(written)
        pages[text] = Page(written)
    assert made.NASTY.count("<") == 2
    names = [[(tag, sorted(given)) for tag, given in p.elements] for p in pages.values()]
    assert names[0] == names[1]
    assert "script" not in {tag for tag, _ in pages[made.NASTY].elements}
    expected = made.NASTY.replace("\u202e", "[U+202E]").replace("\n", "[U+000A]")
    assert pages[made.NASTY].headings[0] == f"Report on {expected}"
    assert pages[made.NASTY].text("file").count(expected) >= 6


def test_the_page_needs_nothing_but_itself(text, page):
    (policy,) = (m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    assert page.elements.index(("meta", page.all("meta")[1])) < [t for t, _ in page.elements].index(
        "style"
    )
    loaded = [v for _, given in page.elements for k, v in given.items() if k in ("src", "href")]
    assert all(address.startswith("data:image/png;base64,") for address in loaded)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.elements}
    assert not [k for _, given in page.elements for k in given if k.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    assert "://" not in text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain Ω שלום 😀", "plain Ω שלום 😀"),
        ("a\u202egpj.exe", "a[U+202E]gpj.exe"),
        ("a\u2066b\u2069", "a[U+2066]b[U+2069]"),
        ("tab\tline\n", "tab[U+0009]line[U+000A]"),
        ("soft\u00adhyphen\ufeff", "soft[U+00AD]hyphen[U+FEFF]"),
        ("half\udce9", "half[U+DCE9]"),
        ("می\u200cخواهم 👩\u200d🔬", "می\u200cخواهم 👩\u200d🔬"),
        (3.5, 3.5),
    ],
)
def test_what_is_not_seen_is_written_out(text, seen):
    assert report.visible(text) == seen


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1:00.0"),
        (63.25, "1:03.2"),
        (3600, "1:00:00"),
        (3723.4, "1:02:03"),
    ],
)
def test_times(seconds, said):
    assert report.clock(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5_000_000_000_000, "5000.0 GB"),
    ],
)
def test_sizes(count, said):
    assert report.size_of(count) == said


def test_values_of_a_card_in_words():
    value = {"a_b": {"c": 1, "d": [0.25, True]}, "e": None}
    assert report.words(value) == "a b c 1, d 0.25, yes, e None"


def test_a_frame_holds_the_page_and_nothing_that_other_templates_read(text):
    framed = report.frame(text, 'A "title"', "10em")
    (given,) = Page(framed).all("iframe")
    assert given["srcdoc"] == text
    assert given["title"] == 'A "title"'
    assert given["sandbox"] is None  # there, and allows nothing
    assert not set("{}$`\\") & set(framed.replace(html.escape(text), ""))


def test_in_a_notebook_the_same_wherever_it_runs(judged):
    (given,) = Page(notebook.report(judged).data).all("iframe")
    shown = Page(given["srcdoc"])
    assert ["Weights", "runs/weights.safetensors"] in shown.table
    assert ["Path", "clip.mp4"] in shown.table


def test_written_whole_or_not_at_all(tmp_path, judged, text, monkeypatch):
    path = report.write(judged, tmp_path / "out" / "report.html")
    assert path.read_text(encoding="utf-8") == text
    monkeypatch.setattr(report, "html", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report.write(judged, path)
    assert path.read_text(encoding="utf-8") == text
    assert list(path.parent.iterdir()) == [path]


def test_one_page_a_file(tmp_path, capsys):
    folder = tmp_path / "pages"
    write = report.writer(folder, [])
    names = ("clip.mp4", "CLIP.mp4", "clip.mp4", "ü" * 120 + ".mp4")
    for name in names:
        write(made.judged(name=name, people={}))
    expected = ["CLIP.mp4-2.html", "clip.mp4-3.html", "clip.mp4.html", "ü" * 100 + ".html"]
    assert sorted(path.name for path in folder.iterdir()) == expected
    for name, file in zip(names, ("clip.mp4", "CLIP.mp4-2", "clip.mp4-3"), strict=False):
        assert f"<bdi>{name}</bdi></h1>" in (folder / f"{file}.html").read_text(encoding="utf-8")
    assert f"mcx: report in {folder / 'clip.mp4-3.html'}" in capsys.readouterr().err


def test_one_page_is_for_one_file(tmp_path):
    place = tmp_path / "out.HTML"
    report.writer(place, [tmp_path / "a.mp4"])(made.judged(people={}))
    assert "<!DOCTYPE html>" in place.read_text(encoding="utf-8")
    with pytest.raises(WrongUse, match=r"is one page, and there are 2 files; name a folder"):
        report.writer(place, [tmp_path / "a.mp4", tmp_path / "b.mp4"])


def test_mcx_detect_writes_it(tmp_path):
    weights.save(tmp_path / "w.safetensors", made.network().model, made.network().card)
    video = write_video(tmp_path / "grey.mp4")
    arguments = ["--weights", tmp_path / "w.safetensors", "--report", tmp_path / "out.html"]
    done = subprocess.run(
        [sys.executable, "-m", "mcxlib.cli", "detect", video, *arguments],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr  # nobody could be judged
    page = Page((tmp_path / "out.html").read_text(encoding="utf-8"))
    assert page.headings[0] == "Report on grey.mp4"
    assert "no face in 20 frames" in page.text("verdict")
    digest = hashlib.sha256(video.read_bytes()).hexdigest()
    assert ["SHA-256", digest] in page.table


# -- in a browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    hostile = made.judged(name=made.NASTY.replace("\n", ""))
    return report.write(hostile, tmp_path_factory.mktemp("report") / "report.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_everybody_can_read_it(browser, file, size, scheme):
    with visited(browser, size, scheme) as (page, asked, errors):
        page.goto(file.as_uri())
        assert barriers(page) == []
        wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1]
        broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
        assert page.evaluate(broken) == 0
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        light = sum(map(int, re.findall(r"\d+", dark))) / 3
        assert (light < 64) == (scheme == "dark")
        assert [u for u in asked if not u.startswith("data:")] == [file.as_uri()]
        assert errors == []


def test_the_browser_refuses_what_the_page_does_not_need(browser, file):
    with visited(browser) as (page, _, _):
        page.goto(file.as_uri())
        refused = page.evaluate(
            """() => new Promise(done => {
                const seen = [];
                setTimeout(() => done(seen), 20000);  // so that it fails, and does not hang
                document.addEventListener('securitypolicyviolation', event => {
                    seen.push(event.effectiveDirective);
                    if (seen.length === 2) done(seen.sort());
                });
                const image = document.createElement('img');
                image.src = 'http://127.0.0.1:9/x.png';
                const script = document.createElement('script');
                script.textContent = 'window.ran = true';
                document.body.append(image, script);
            })"""
        )
        assert refused == ["img-src", "script-src-elem"]
        assert page.evaluate("window.ran") is None


def test_on_paper_nothing_is_folded_and_nothing_is_dark(browser, file):
    with visited(browser, scheme="dark") as (page, _, _):
        page.goto(file.as_uri())
        seen = "[...document.querySelectorAll('details td')].map(c => c.checkVisibility())"
        assert not any(page.evaluate(seen))
        page.emulate_media(media="print", color_scheme="dark")
        assert all(page.evaluate(seen))
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colour == "rgb(255, 255, 255)"
        assert page.pdf(format="A4").startswith(b"%PDF")
