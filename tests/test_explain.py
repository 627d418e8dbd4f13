"""t-SNE, neighbour agreement and class activation maps, against independent computations."""

import cv2
import numpy as np
import pytest
import pytorch_grad_cam
import torch
from sklearn.metrics import silhouette_score
from torch import nn

from mcxlib import CLASSES, detectors, explain
from mcxlib.detectors.base import Detector, DetectorSettings


class Tiny(Detector):
    """Convolution, in-place ReLU, global average pooling, linear: all of it easy by hand."""

    name = "tiny"

    def __init__(self, seed=0):
        super().__init__(DetectorSettings(), CLASSES)
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 6, 3, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.classifier = nn.Linear(6, 5)

    def features(self, images):
        return self.relu(self.conv(images)).mean((2, 3))

    def forward(self, images):
        return self.classifier(self.drop(self.features(images)))


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, 17, 15, generator=torch.Generator().manual_seed(1))


def by_hand(model, images, output):
    """Post-ReLU activations, logits and dz/da in float64, by the chain rule on paper."""
    w, b = model.conv.weight.detach().double(), model.conv.bias.detach().double()
    a = torch.conv2d(images.double(), w, b, stride=2).clamp(min=0).numpy()
    weight = model.classifier.weight.detach().double().numpy()
    logits = a.mean((2, 3)) @ weight.T + model.classifier.bias.detach().double().numpy()
    cells = a.shape[2] * a.shape[3]
    if output in ("real", "fake"):
        fakes = np.exp(logits[:, 1:] - logits[:, 1:].max(1, keepdims=True))
        slope = np.concatenate(
            [-np.ones((len(a), 1)), fakes / fakes.sum(1, keepdims=True)], axis=1
        ) * (1 if output == "fake" else -1)
    else:
        slope = np.tile(np.eye(5)[CLASSES.index(output)], (len(a), 1))
    gradient = np.broadcast_to((slope @ weight / cells)[:, :, None, None], a.shape)
    return a, gradient, logits


FORMULAS = {
    "Grad-CAM": lambda a, g: (g.mean((2, 3), keepdims=True) * a).sum(1),
    "HiResCAM": lambda a, g: (g * a).sum(1),
    "LayerCAM": lambda a, g: (np.maximum(g, 0) * a).sum(1),
}


@pytest.mark.parametrize("output", ["real", "fake", "NT"])
@pytest.mark.parametrize("method", FORMULAS)
def test_raw_maps_equal_the_formula_in_float64(images, method, output):
    model = Tiny()
    a, g, _ = by_hand(model, images, output)
    maps = explain.raw_maps(model, images, method, output, model.relu, batch_size=3)
    np.testing.assert_allclose(maps, FORMULAS[method](a, g), atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("method", explain.METHODS)
def test_maps_equal_the_librarys_own_run(images, method):
    model = Tiny()
    library = {
        "Grad-CAM": pytorch_grad_cam.GradCAM,
        "Grad-CAM++": pytorch_grad_cam.GradCAMPlusPlus,
        "HiResCAM": pytorch_grad_cam.HiResCAM,
        "LayerCAM": pytorch_grad_cam.LayerCAM,
        "XGrad-CAM": pytorch_grad_cam.XGradCAM,
    }[method]
    targets = [lambda logits: logits[1:].logsumexp(0) - logits[0]] * len(images)
    reference = library(model, [model.relu])(images, targets=targets)
    maps = explain.activation_maps(model, images, method, "fake", model.relu)
    assert maps.shape == (4, 17, 15)
    assert maps.min() >= 0
    np.testing.assert_allclose(maps, reference, atol=2e-4)


def test_a_map_is_positive_evidence_enlarged_and_stretched(images):
    model = Tiny()
    raw = explain.raw_maps(model, images, "HiResCAM", "F2F", model.relu)
    maps = explain.activation_maps(model, images, "HiResCAM", "F2F", model.relu)
    for small, large in zip(raw, maps, strict=True):
        positive = np.maximum(small, 0)
        expected = cv2.resize(positive, (15, 17))
        expected = (expected - expected.min()) / np.ptp(expected)
        np.testing.assert_allclose(large, expected, atol=1e-5)


def test_pooled_features_make_three_methods_one_and_real_the_reverse_of_fake(images):
    model = detectors.build("mcx-api", colorspace="hsv", backbone="slim_xception")
    images = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    fake = explain.raw_maps(model, images, "HiResCAM", "fake")
    for method in ("Grad-CAM", "XGrad-CAM"):
        np.testing.assert_allclose(
            explain.raw_maps(model, images, method, "fake"), fake, atol=1e-3 * np.abs(fake).max()
        )
    np.testing.assert_array_equal(explain.raw_maps(model, images, "HiResCAM", "real"), -fake)
    layer = explain.raw_maps(model, images, "LayerCAM", "fake")
    assert np.abs(layer - fake).max() > 0.1 * np.abs(fake).max()


@pytest.mark.parametrize("backbone", ["slim_xception", "resnet10t"])
def test_completeness_holds_for_the_model_and_fails_for_another_layer(backbone):
    torch.manual_seed(0)
    model = detectors.build("mcx-api", colorspace="rgb+lab", backbone=backbone).eval()
    uneven(model)  # a network without shifts is complete at every layer
    images = torch.rand(2, 3, 64, 64)
    said = (model(images) - model.classifier.bias).abs().max().item()
    assert explain.hirescam_completeness(model, images) < 1e-5 * said
    early = next(m for m in model.backbone.modules() if isinstance(m, nn.Conv2d))
    assert explain.hirescam_completeness(model, images, early) > 0.1 * said


def test_completeness_notices_a_head_that_is_not_linear(images):
    class Bent(Tiny):
        def forward(self, images):
            return torch.tanh(super().forward(images))

    model = Tiny()
    assert explain.hirescam_completeness(model, images, model.relu) < 1e-6
    bent = Bent()
    assert explain.hirescam_completeness(bent, images, bent.relu) > 1e-3


def test_the_model_is_left_as_it_was(images):
    model = Tiny().train()
    model.drop.eval()
    model.conv.weight.requires_grad_(False)
    model.classifier.weight.grad = torch.full_like(model.classifier.weight, 3.0)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    explain.activation_maps(model, images, "LayerCAM", "real", model.relu)
    with pytest.raises(ValueError, match=r"gives \(4, 5\)"):
        explain.raw_maps(model, images, "HiResCAM", "real", model.classifier)
    explain.embed_frames(model, images)
    assert model.training
    assert model.conv.training
    assert not model.drop.training
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]
    assert (model.classifier.weight.grad == 3).all()
    assert all(p.grad is None for n, p in model.named_parameters() if n != "classifier.weight")
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())


def test_frozen_weights_and_no_grad_give_the_same_map(images):
    model = Tiny()
    free = explain.raw_maps(model, images, "LayerCAM", "fake", model.relu)
    with torch.no_grad():
        frozen = explain.raw_maps(
            model.requires_grad_(False), images, "LayerCAM", "fake", model.relu
        )
    np.testing.assert_array_equal(free, frozen)


def uneven(model):
    """Untrained BatchNorms have no shifts: with some, every part of a network does something."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.5)
    return model.eval()


def gradient_at(model, layer, images, log_odds):
    """Feature map and the gradient of the log-odds at it, by a forward pass with gradients."""
    seen = []
    handle = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    logits = model(images)
    handle.remove()
    (gradient,) = torch.autograd.grad(log_odds(logits).sum(), seen[0])
    return seen[0].detach().numpy(), gradient.numpy()


def softmax_odds(logits):
    return logits[:, 1:].logsumexp(1) - logits[:, 0]


SLIM = {"backbone": "slim_xception"}
DETECTORS = {  # settings, and the log-odds of fake from the logits
    "mcx-api": (SLIM | {"colorspace": "rgb+ycbcr"}, softmax_odds),
    "api-net": ({"backbone": "resnet10t"}, softmax_odds),
    "xception": (SLIM, softmax_odds),
    "xception binary": (SLIM | {"outputs": "binary"}, lambda z: z[:, 1] - z[:, 0]),
    "mesonet": ({}, lambda z: -z[:, 0]),  # its one logit is real's
}


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request):
    settings, log_odds = DETECTORS[request.param]
    torch.manual_seed(4)
    return uneven(detectors.build(request.param.split()[0], **settings)), log_odds


@pytest.fixture(scope="module")
def faces():
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(5))


def test_every_detectors_maps_are_gradients_of_its_log_odds(detector, faces):
    model, log_odds = detector
    a, g = gradient_at(model, model.cam_layer(), faces, log_odds)
    for method, formula in FORMULAS.items():
        maps = explain.raw_maps(model, faces, method, "fake")
        np.testing.assert_allclose(maps, formula(a, g), atol=1e-6, rtol=1e-5)
    reverse = explain.raw_maps(model, faces, "HiResCAM", "real")
    np.testing.assert_allclose(reverse, -FORMULAS["HiResCAM"](a, g), atol=1e-6, rtol=1e-5)
    assert np.abs(reverse).max() > 1e-4


def test_every_detectors_deletion_is_a_fall_of_its_log_probability(detector, faces):
    model, log_odds = detector
    mask = np.zeros((3, 64, 64))
    mask[:, 16:48, 16:48] = 1
    blank = torch.where(torch.from_numpy(mask).bool()[:, None], faces.mean((2, 3), True), faces)
    with torch.no_grad():
        before, after = (log_odds(model(x)).double() for x in (faces, blank))
    for output, sign in (("fake", 1), ("real", -1)):
        found = explain.deletion(model, faces, mask, output, share=0.25)
        # log p(fake) = -log(1 + exp(-z)) for the log-odds z; of real, for -z.
        expected = [-np.log1p(np.exp(-sign * z.numpy())) for z in (before, after)]
        np.testing.assert_allclose(found.top, expected[0] - expected[1], atol=1e-5)


def test_every_detectors_features_are_what_its_last_layer_decides_by(detector, faces):
    model, _ = detector
    features = torch.from_numpy(explain.embed_frames(model, faces, batch_size=2))
    last = model.output if model.name == "mesonet" else model.classifier
    with torch.no_grad():
        torch.testing.assert_close(last(features), model(faces), atol=1e-5, rtol=1e-5)


def test_a_class_is_explained_where_it_has_a_logit(faces):
    torch.manual_seed(6)
    model = uneven(detectors.build("xception", ("real", "A", "B"), backbone="slim_xception"))
    assert explain.outputs(model) == ("real", "fake", "A", "B")
    a, g = gradient_at(model, model.cam_layer(), faces, lambda z: z[:, 2])
    maps = explain.raw_maps(model, faces, "HiResCAM", "B")
    np.testing.assert_allclose(maps, (a * g).sum(1), atol=1e-6, rtol=1e-5)
    mask = np.zeros((3, 64, 64))
    mask[:, :32] = 1
    blank = torch.where(torch.from_numpy(mask).bool()[:, None], faces.mean((2, 3), True), faces)
    with torch.no_grad():
        falls = model(faces).log_softmax(1)[:, 2] - model(blank).log_softmax(1)[:, 2]
    found = explain.deletion(model, faces, mask, "B", share=0.5)
    np.testing.assert_allclose(found.top, falls, atol=1e-5)
    with pytest.raises(ValueError, match="unknown output 'NT'; valid: real, fake, A, B"):
        explain.raw_maps(model, faces, "HiResCAM", "NT")


@pytest.mark.parametrize(
    ("name", "settings"),
    [("mesonet", {}), ("xception", {"backbone": "slim_xception", "outputs": "binary"})],
)
def test_a_class_without_a_logit_is_refused(name, settings, faces):
    model = detectors.build(name, **settings)
    with pytest.raises(ValueError, match=f"{name} has no output of its own for the class 'NT'"):
        explain.raw_maps(model, faces, "HiResCAM", "NT")
    with pytest.raises(ValueError, match="valid: real, fake"):
        explain.deletion(model, faces, np.ones((3, 64, 64)), "NT")


def test_fake_as_the_only_other_class_is_the_output_fake(faces):
    torch.manual_seed(7)
    model = uneven(detectors.build("xception", ("real", "fake"), backbone="slim_xception"))
    assert explain.outputs(model) == ("real", "fake")
    a, g = gradient_at(model, model.cam_layer(), faces, lambda z: z[:, 1] - z[:, 0])
    maps = explain.raw_maps(model, faces, "HiResCAM", "fake")
    np.testing.assert_allclose(maps, (a * g).sum(1), atol=1e-6, rtol=1e-5)


def test_what_a_detector_does_not_have_is_said(faces, images):
    with pytest.raises(ValueError, match="tiny has no feature map"):
        explain.activation_maps(Tiny(), images, "LayerCAM", "fake")
    with pytest.raises(ValueError, match="corner has no feature vector"):
        explain.embed_frames(Corner(), images)
    with pytest.raises(ValueError, match="mesonet does not end in a linear layer"):
        explain.hirescam_completeness(detectors.build("mesonet"), faces)


def test_a_hidden_layer_behind_the_map_tells_cells_apart(faces):
    """MesoNet does not pool: unlike MCX-API's, its Grad-CAM and HiResCAM differ."""
    torch.manual_seed(8)
    model = uneven(detectors.build("mesonet"))
    one, other = (explain.raw_maps(model, faces, m, "fake") for m in ("Grad-CAM", "HiResCAM"))
    assert np.abs(one - other).max() > 0.01 * np.abs(other).max()


def test_a_confident_decision_keeps_its_map(images):
    """log p(fake) itself would have a gradient of exactly zero in float32 here."""
    model = Tiny()
    model.classifier.bias.data[0] = -300
    log_p = model.eval()(images).log_softmax(1)[:, 1:].logsumexp(1)
    assert torch.autograd.grad(log_p.sum(), model.classifier.weight)[0].abs().max() == 0
    assert explain.raw_maps(model, images, "HiResCAM", "fake", model.relu).any()


@pytest.mark.parametrize(
    ("method", "output", "words"),
    [
        ("GradCAM", "fake", "unknown method 'GradCAM'; valid: Grad-CAM, "),
        ("LayerCAM", "Fake", "unknown output 'Fake'; valid: real, fake, DF"),
    ],
)
def test_unknown_names_are_refused_with_the_valid_ones(images, method, output, words):
    with pytest.raises(ValueError, match=words):
        explain.activation_maps(Tiny(), images, method, output)


class Corner(Detector):
    """Says fake by the brightness of the upper left quarter, by construction."""

    name = "corner"

    def __init__(self):
        super().__init__(DetectorSettings(), CLASSES)
        self.weight = nn.Parameter(torch.tensor(40.0))

    def forward(self, images):
        z = self.weight * images[:, :, :8, :8].mean((1, 2, 3))
        return torch.stack([-z, z, z, z, z], 1)


def test_deletion_tells_the_right_map_from_a_wrong_one():
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 0.2
    images[:, :, :8, :8] += 0.8
    right, wrong = np.zeros((6, 16, 16)), np.zeros((6, 16, 16))
    right[:, :8, :8], wrong[:, 8:, 8:] = 1, 1
    found = explain.deletion(Corner(), images, right, "real", share=0.25)
    # Blanking what speaks for fake raises log p(real).
    assert (found.top < 0).all()
    found = explain.deletion(Corner(), images * 0.1, right, "fake", share=0.25)
    assert (found.top > found.random).all()
    found = explain.deletion(Corner(), images * 0.1, wrong, "fake", share=0.25)
    assert (found.top < found.random).all()


def test_deletion_value_by_hand():
    images = torch.zeros(1, 3, 16, 16)
    images[:, :, :8, :8] = 0.04
    mask = np.zeros((1, 16, 16))
    mask[:, :8, :8] = 1
    found = explain.deletion(Corner(), images, mask, "fake", share=0.25)
    # Blanked with the image's mean, 0.04 / 4: z falls from 1.6 to 0.4, p(fake) = 4e^z/(4e^z+e^-z).
    p = [4 * np.exp(z) / (4 * np.exp(z) + np.exp(-z)) for z in (1.6, 0.4)]
    assert found.top[0] == pytest.approx(np.log(p[0] / p[1]), rel=1e-4)


def test_region_share():
    maps = np.zeros((3, 4, 4))
    maps[0, 0, 0], maps[0, 3, 3] = 3, 1
    maps[1] = 1
    region = np.zeros((4, 4), bool)
    region[:2, :2] = True
    np.testing.assert_allclose(explain.region_share(maps, region), [0.75, 0.25, np.nan])
    with pytest.raises(ValueError, match="does not fit"):
        explain.region_share(maps, region[:3])
    with pytest.raises(ValueError, match="negative"):
        explain.region_share(-maps, region)


def test_overlay_leaves_zero_as_grey_and_colours_the_peak():
    image = np.stack([np.full((4, 5), 0.2), np.full((4, 5), 0.6), np.full((4, 5), 0.1)])
    heat = np.zeros((4, 5))
    heat[1, 2] = 1
    out = explain.overlay(image, heat)
    assert out.dtype == np.uint8
    assert out.shape == (4, 5, 3)
    grey = round(255 * (0.299 * 0.2 + 0.587 * 0.6 + 0.114 * 0.1))
    assert (out[heat == 0] == grey).all()
    assert np.ptp(out[1, 2].astype(int)) > 50
    np.testing.assert_array_equal(explain.overlay(image.transpose(1, 2, 0), heat), out)
    with pytest.raises(ValueError, match="does not fit"):
        explain.overlay(image, heat.T)


def test_embeddings_do_not_depend_on_the_batch_and_are_the_models(images):
    model = Tiny().train()
    features = explain.embed_frames(model, images, batch_size=3)
    assert features.dtype == np.float32
    a, _, _ = by_hand(model, images, "fake")
    np.testing.assert_allclose(features, a.mean((2, 3)), atol=1e-6)
    with pytest.raises(ValueError, match="N >= 1"):
        explain.embed_frames(model, images[:0])


def clusters(distance, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(CLASSES, 24)
    centres = np.eye(5, 12).repeat(24, 0) * distance
    return centres + rng.normal(size=(120, 12)), labels


def test_tsne_keeps_clusters_apart_and_makes_none():
    features, labels = clusters(40)
    points = explain.tsne(features, perplexity=15)
    assert points.shape == (120, 2)
    assert explain.neighbour_agreement(points, labels).neighbours == 1.0
    # Chance is (24 - 1) / (120 - 1) = 0.193 for five equal classes.
    same = explain.neighbour_agreement(explain.tsne(clusters(0)[0], perplexity=15), labels)
    assert same.chance == pytest.approx(23 / 119)
    assert abs(same.neighbours - same.chance) < 0.08
    assert same.silhouette < 0.1


def test_tsne_is_the_same_every_time():
    features, _ = clusters(3)
    np.testing.assert_array_equal(explain.tsne(features), explain.tsne(features))


def test_tsne_errors():
    with pytest.raises(ValueError, match=r"perplexity 30 .* number of points, 12"):
        explain.tsne(np.zeros((12, 3)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        explain.tsne(np.full((40, 3), np.nan))


def test_agreement_by_hand():
    # On a line: nearest neighbours of 0, 1, 2, 10, 11 are 1, 0 or 2, 1, 11, 10.
    features = np.array([[0.0], [1.1], [2.0], [10.0], [11.0]])
    found = explain.neighbour_agreement(features, ["a", "a", "b", "b", "b"], k=1)
    # 0 -> 1.1 (same), 1.1 -> 2 (other), 2 -> 1.1 (other), 10 -> 11 (same), 11 -> 10 (same)
    assert found.neighbours == pytest.approx(3 / 5)
    assert found.chance == pytest.approx((2 * 1 + 3 * 2) / 20)
    assert found.silhouette == pytest.approx(silhouette_score(features, [0, 0, 1, 1, 1]))


def test_a_point_is_not_its_own_neighbour_even_among_duplicates():
    features = np.array([[0.0], [0.0], [5.0], [5.0]])
    assert explain.neighbour_agreement(features, ["a", "b", "a", "b"], k=1).neighbours == 0


def test_agreement_errors():
    with pytest.raises(ValueError, match="only \\['real'\\]"):
        explain.neighbour_agreement(np.zeros((3, 2)), ["real"] * 3, k=1)
    with pytest.raises(ValueError, match="k = 3 must be from 1 to 2"):
        explain.neighbour_agreement(np.zeros((3, 2)), ["real", "DF", "DF"], k=3)
    with pytest.raises(ValueError, match="one a row"):
        explain.neighbour_agreement(np.zeros((3, 2)), ["real", "DF"], k=1)
