"""What moves in a page, in a browser: keyboard, words for screen readers, a picture without it."""

import numpy as np
import pandas as pd
import pytest
from browser import barriers, launched, visited
from sklearn.metrics import balanced_accuracy_score

from mcxlib.figures import threshold

HEAD = '<!doctype html><html lang="en"><title>x</title><main><h1>x</h1>'


@pytest.fixture(scope="module")
def browser():
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(5)
    fake = np.arange(60) % 3 > 0
    score = np.clip(rng.normal(0.45 + 0.2 * fake, 0.2), 0, 1)
    dataset = np.where(np.arange(60) < 30, "KoDF", "Celeb-DF-v2")
    return pd.DataFrame({"dataset": dataset, "is_fake": fake, "fake_score": score})


@pytest.fixture(scope="module")
def page_of_slider(scores, tmp_path_factory):
    file = tmp_path_factory.mktemp("slider") / "page.html"
    text = threshold.slider(scores, "videos", "synthetic demonstration data", "MCX-API(RGB)")
    file.write_text(f"{HEAD}{text}</main></html>", encoding="utf-8")
    return file


def test_the_slider_answers_to_the_keyboard_with_the_right_numbers(browser, scores, page_of_slider):
    with visited(browser) as (page, asked, errors):
        page.goto(page_of_slider.as_uri())
        assert not page.locator("[data-still]").is_visible()
        slider, said = page.get_by_role("slider"), page.locator("[aria-live]")
        for data, keys in (("KoDF", "ArrowRight"), ("Celeb-DF-v2", "ArrowLeft")):
            page.get_by_label("Real against").select_option(data)
            slider.press(keys)
            slider.press(keys)
            t = threshold.THRESHOLDS[int(slider.input_value())]
            part = scores[scores["dataset"] == data]
            bosc = 100 * balanced_accuracy_score(part["is_fake"], part["fake_score"] > t)
            assert f"Threshold {t:g}: BOSC {bosc:.1f} %" in said.inner_text()
            assert slider.get_attribute("aria-valuetext") == f"{t:g}, BOSC {bosc:.1f} percent"
            rate = part.loc[part["is_fake"], "fake_score"].gt(t).mean()
            # Sensitivity is the height of the point: 1 at the top of the axis, 20 px down.
            height = float(page.locator("circle").get_attribute("cy"))
            assert height == pytest.approx(20 + (1 - rate) * 170, abs=0.5)
        slider.press("Home")
        assert "Threshold 0:" in said.inner_text()
        assert "sensitivity 100.0 %" in said.inner_text()
        assert barriers(page) == []
        assert errors == []
        assert all(url.startswith(("file:", "data:")) for url in asked)


def test_without_scripts_there_is_a_picture(browser, page_of_slider):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_of_slider.as_uri())
    picture = page.get_by_role("img", name="Histograms of the score of fake")
    assert picture.is_visible()
    assert picture.bounding_box()["width"] > 300
    assert not page.get_by_role("slider").is_visible()
    context.close()


def test_the_map_shows_the_face_it_is_asked_about(browser, tmp_path):
    from mcxlib.config import load
    from mcxlib.figures import embedding

    points = np.array([[0.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    rows = pd.DataFrame({"video_id": ["a/001", "a/002", "a/003"], "frame_index": [0, 4, 2]})
    faces = np.zeros((3, 3, 16, 16), np.float32)
    faces[np.arange(3), np.arange(3)] = 1  # red, green, blue
    text = embedding.asked(points, np.array(["real", "NT", "DF"]), rows, faces, load("test").label)
    file = tmp_path / "map.html"
    file.write_text(f"{HEAD}{text}</main></html>", encoding="utf-8")
    with visited(browser) as (page, _, errors):
        page.goto(file.as_uri())
        face, said = page.locator("div[role=img]"), page.locator("[aria-live]")
        assert said.inner_text() == "real: 001, frame 0"
        page.get_by_label("Frame, class by class").press("ArrowRight")
        assert said.inner_text() == "DF: 003, frame 2"  # the classes' order, not the rows'
        assert face.get_attribute("aria-label") == "Face: DF, 003, frame 2"
        box = page.locator("svg[role=img]").bounding_box()
        page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 14)  # the upper right corner
        assert said.inner_text() == "NT: 002, frame 4"
        shot = np.frombuffer(face.screenshot(), np.uint8)
        import cv2

        middle = cv2.imdecode(shot, cv2.IMREAD_COLOR)[40:120, 40:120].mean((0, 1))
        assert middle == pytest.approx([0, 255, 0], abs=25)
        assert barriers(page) == []
        assert errors == []
