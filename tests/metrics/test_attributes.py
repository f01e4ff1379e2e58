from pathlib import Path

import numpy as np
import pytest

from face_generation.data.datamodule import SyntheticDataModule
from face_generation.errors import UserError
from face_generation.metrics import Gap
from face_generation.metrics.attributes import Accuracy, Asked, LabelledFaces, asked, attribute_classifier


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic faces, whose attributes are known exactly."""
    folder = tmp_path_factory.mktemp("drawn") / "splits"
    SyntheticDataModule(str(folder), count=500).prepare_data()
    return folder


def test_accuracy_of_scores() -> None:
    present = np.array([True, True, True, False, False])
    told = Accuracy.of(np.array([2.0, 1.0, -1.0, 0.5, -3.0]), present)
    assert told.accuracy == pytest.approx(3 / 5)
    assert told.majority == pytest.approx(3 / 5)
    assert told.auc == pytest.approx(5 / 6)  # of six pairs only (-1, 0.5) is in the wrong order
    assert Accuracy.of(np.zeros(5), present).auc == 0.5


def test_it_learns_what_is_drawn_and_remembers_it(splits: Path, tmp_path: Path) -> None:
    faces = LabelledFaces.load(splits)
    classifier = attribute_classifier(faces, tmp_path)
    assert "wearing_hat" not in classifier.names or "eyeglasses" in classifier.names
    told = dict(zip(classifier.names, classifier.accuracies, strict=True))
    # Hair lies on a large part of the picture; 400 faces of a small drawing are enough for it.
    assert told["black_hair"].auc > 0.9
    assert told["blond_hair"].auc > 0.9

    # Asked for black hair, a model gave it to half of the faces.
    photos = faces.held_out
    dark = photos.images[photos.labels[:, faces.names.index("black_hair")]]
    blond = photos.images[photos.labels[:, faces.names.index("blond_hair")]]
    asked_for = {"black_hair": np.concatenate([dark[:5], blond[:5]]), "wearing_necktie": dark, "smiling": dark[:0]}
    found = asked(classifier, asked_for, photos)
    assert list(found) == list(asked_for)
    hair = found["black_hair"]
    assert isinstance(hair, Asked)
    assert hair.found.value == pytest.approx(0.5, abs=0.2)
    assert hair.found.high - hair.found.low > 0.5  # of only ten
    scores = classifier.scores(dark)[:, classifier.names.index("black_hair")]
    assert hair.found_in_photos.value == pytest.approx(np.mean(scores > 0), abs=0.05)
    assert isinstance(found["wearing_necktie"], Gap)
    assert "has not learned wearing_necktie" in str(found["wearing_necktie"])
    assert isinstance(found["smiling"], Gap)

    files = list(tmp_path.iterdir())
    again = attribute_classifier(faces, tmp_path)
    images = faces.held_out.images[:8]
    assert np.array_equal(classifier.scores(images), again.scores(images))
    assert classifier.probabilities(images) == pytest.approx(1 / (1 + np.exp(-classifier.scores(images))))
    assert list(tmp_path.iterdir()) == files

    files[0].write_bytes(b"half")
    with pytest.raises(UserError, match="is damaged; delete it"):
        attribute_classifier(faces, tmp_path)


def test_rare_attributes_are_left_out(splits: Path) -> None:
    faces = LabelledFaces.load(splits)
    assert {"black_hair", "smiling", "eyeglasses"} <= set(faces.names)
    assert "wearing_necktie" not in faces.names  # which is never drawn
    assert faces.train.labels.shape == (400, len(faces.names))
    assert faces.held_out.labels.shape == (100, len(faces.names))
