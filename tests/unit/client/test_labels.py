from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from ganserve.client import InvalidRequestError
from ganserve.client._queries.labels import label_policy
from ganserve.v1.generator_pb2 import LabelPolicy


def policy_dict(labels: Any) -> dict[str, Any]:
    policy = label_policy(labels)
    assert isinstance(policy, LabelPolicy)
    return MessageToDict(policy)


def test_without_labels_the_server_chooses() -> None:
    assert label_policy(None) is None


@pytest.mark.parametrize("labels", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_a_label_is_for_every_sample(labels: Any) -> None:
    assert policy_dict(labels) == {"one": {"label": "3"}}


def test_a_name_is_for_every_sample() -> None:
    assert policy_dict("cat") == {"one": {"name": "cat"}}


@pytest.mark.parametrize("word", ["balanced", "uniform"])
def test_two_words_name_a_policy(word: str) -> None:
    assert policy_dict(word) == {word: {}}


def test_a_class_that_is_called_like_a_policy_is_named_in_a_list() -> None:
    assert policy_dict(["balanced"]) == {"list": {"classes": [{"name": "balanced"}]}}


@pytest.mark.parametrize("labels", [[0, 2], (0, 2), range(0, 3, 2), np.array([0, 2]), np.array([0, 2], np.uint8)])
def test_a_sequence_is_cycled(labels: Any) -> None:
    assert policy_dict(labels) == {"list": {"classes": [{"label": "0"}, {"label": "2"}]}}


def test_labels_and_names_mix() -> None:
    assert policy_dict([0, "cat"]) == {"list": {"classes": [{"label": "0"}, {"name": "cat"}]}}


def test_a_mapping_gives_weights() -> None:
    assert policy_dict({0: 0.75, "cat": 1}) == {
        "weighted": {
            "weights": [
                {"classReference": {"label": "0"}, "weight": 0.75},
                {"classReference": {"name": "cat"}, "weight": 1.0},
            ]
        }
    }


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (True, "True"),
        (np.True_, "True"),
        (1.5, "1.5 names no class"),
        (np.float32(2.0), "2.0 names no class"),
        (-1, "the label is -1"),
        (2**40, "the label is"),
        ("", "empty"),
        (b"cat", "names no class"),
        ([], "list of classes is empty"),
        (np.array([]), "list of classes is empty"),
        ([0, None], "None names no class"),
        ([0, -1], "the label is -1"),
        (np.array([[0, 1]]), "names no class"),
        (np.array([0.5]), "0.5 names no class"),
        ({}, "no class has a weight"),
        ({0: 0.0}, "no class has a weight"),
        ({0: -1.0}, "must not be negative"),
        ({0: float("nan")}, "finite"),
        ({0: "much"}, "finite"),
        ({0: True}, "finite"),
        (object(), "names no class"),
    ],
)
def test_nonsense_is_refused(labels: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says) as caught:
        label_policy(labels)
    assert caught.value.field.startswith("query.labels")
