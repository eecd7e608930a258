"""What is known of data sets before they are read."""

import pytest

from lenet.data.catalogue import DATASETS, find_dataset
from lenet.errors import DataError


def test_every_published_data_set_has_two_mirrors_and_four_sums():
    for name in ("mnist", "fashion-mnist"):
        dataset = DATASETS[name]
        assert len({mirror.split("/")[2] for mirror in dataset.mirrors}) >= 2
        assert all(mirror.endswith("/") for mirror in dataset.mirrors)
        assert len({file.sha256 for file in dataset.files}) == 4
        assert len(dataset.class_names) == 10


def test_an_unknown_name_says_which_there_are_and_which_was_meant():
    with pytest.raises(DataError, match=r"'fashon-mnist' is no data set; use one of digits, mnist"):
        find_dataset("fashon-mnist")
