"""What files say of themselves: credentials signed and broken here, tags and encoders."""

import datetime

import av
import numpy as np
import pytest
from media import write_video
from PIL import Image

from mcxlib.answer import facts


def chain():
    """A certificate of a camera with its issuer's (PEM), and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.UTC)
    root, camera = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def name(text):
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"),
                x509.NameAttribute(NameOID.COMMON_NAME, text),
            ]
        )

    def certificate(subject, key, authority):
        never = "content_commitment key_encipherment data_encipherment key_agreement"
        usage = dict.fromkeys([*never.split(), "encipher_only", "decipher_only"], False)
        usage |= {"digital_signature": not authority, "key_cert_sign": authority}
        made = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("Root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), False
            )
            .add_extension(x509.KeyUsage(**usage, crl_sign=authority), critical=True)
        )
        if not authority:
            email = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            made = made.add_extension(email, critical=False)
        signed = made.sign(root, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    secret = camera.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate("A camera", camera, False) + certificate("Root", root, True), secret


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    c2pa = pytest.importorskip("c2pa")
    folder = tmp_path_factory.mktemp("signed")
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "plain.jpg")
    certificates, key = chain()
    captured = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    action = {"action": "c2pa.created", "digitalSourceType": captured}
    builder = c2pa.Builder(
        {
            "claim_generator_info": [{"name": "A\x1b[31m program", "version": "1"}],
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
        }
    )
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", certificates, key, None))
    builder.sign_file(folder / "plain.jpg", folder / "signed.jpg", signer)
    return folder


def test_credentials_that_check_name_who_signed_and_what_is_not_known_of_them(signed):
    found = facts.credentials(signed / "signed.jpg")
    assert (found.state, found.signer) == ("valid", "A camera")
    assert found.generator == "A [31m program"  # nothing that a terminal would obey
    assert found.problems == ("signingCredential.untrusted",)


def test_a_changed_picture_does_not_check(signed):
    data = bytearray((signed / "signed.jpg").read_bytes())
    data[-40] ^= 1
    (signed / "changed.jpg").write_bytes(data)
    found = facts.credentials(signed / "changed.jpg")
    assert found.state == "invalid"
    assert "assertion.dataHash.mismatch" in found.problems


def test_no_credentials_and_kinds_of_files_that_have_none(signed, tmp_path):
    assert facts.credentials(signed / "plain.jpg").state == "none"
    (tmp_path / "a.txt").write_text("words")
    assert facts.credentials(tmp_path / "a.txt").state == "not checked"


def test_without_the_package_nothing_is_checked(signed, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    found = facts.credentials(signed / "signed.jpg")
    assert (found.state, found.problems) == ("not checked", ("c2pa-python is not installed",))


def test_a_software_encoder_is_named_with_its_quality(tmp_path):
    found = facts.of_video(write_video(tmp_path / "a.mp4", options={"crf": "31"}))
    assert (found["codec"], found["width"], found["height"]) == ("h264", 96, 64)
    assert (found["frames_per_second"], found["seconds"]) == (25.0, pytest.approx(0.8))
    assert "x264 at crf 31.0" in found["encoder"]
    assert "encoded by x264 at crf 31.0: a software encoder, no camera's" in found["hints"]
    assert any(hint.startswith("written by Lavf") for hint in found["hints"])
    assert "holds no time of recording" in found["hints"]


def test_tags_are_facts_that_anybody_can_write(tmp_path):
    with av.open(str(tmp_path / "a.mov"), "w", options={"movflags": "use_metadata_tags"}) as out:
        out.metadata["com.apple.quicktime.make"] = "Kamera & Co"
        out.metadata["creation_time"] = "2024-01-01T00:00:00Z"
        out.metadata["comment"] = "x" * 1000 + "\n"
        stream = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        out.mux(stream.encode(picture))
        out.mux(stream.encode())
    found = facts.of_video(tmp_path / "a.mov")
    assert "names Kamera & Co as the maker of its camera, as any program can" in found["hints"]
    assert "holds no time of recording" not in found["hints"]
    assert len(found["tags"]["comment"]) == facts.MOST_LETTERS


def test_tags_in_no_encoding_are_read_with_marks(tmp_path):
    path = write_video(tmp_path / "a.mp4", n=2)
    data = path.read_bytes()
    place = data.index(b"Lavf")
    path.write_bytes(data[:place] + b"\xe9\xe9" + data[place + 2 :])
    assert facts.of_video(path)["encoder"].startswith("\N{REPLACEMENT CHARACTER}" * 2)


def test_a_pictures_exif(tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0131] = "Kamera & Co", "Editor 3"  # Make, Software
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    found = facts.of_image(tmp_path / "a.jpg")
    assert (found["codec"], found["width"], found["height"]) == ("JPEG", 40, 30)
    assert (found["encoder"], found["tags"]["Make"]) == ("Editor 3", "Kamera & Co")
    (tmp_path / "b.jpg").write_text("no picture")
    assert facts.of_image(tmp_path / "b.jpg") == {}
