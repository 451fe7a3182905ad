"""Names, object ids, digests: what may become a key, what may travel with a vector."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadName
from shared.names import check_digest, check_name, check_object_id


@pytest.mark.parametrize("name", ["a", "0", "jwst_hsc", "vit-base", "v2.0", "dinov3-vits16+", "n" * 64])
def test_a_name_is_kept(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "a..b", ".a", "-a", "_a", "a b", "a\n", "n" * 65, "é", "a\x00"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(BadName, match="cannot be a name"):
        check_name(name)


@given(st.text(max_size=70))
def test_a_name_is_safe_as_a_path(text: str) -> None:
    try:
        name = check_name(text)
    except BadName:
        return
    assert name.isascii()
    assert name == name.strip().lower()
    assert not {"/", "\\", "\x00", "\n"} & set(name)
    assert ".." not in name


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=256))
def test_an_object_id_may_be_any_visible_text(text: str) -> None:
    assert check_object_id(text) == text


@given(st.text(max_size=20), st.characters(categories=("Cc", "Cs")), st.text(max_size=20))
def test_an_object_id_has_no_control_characters(before: str, control: str, after: str) -> None:
    assert unicodedata.category(control) in ("Cc", "Cs")
    with pytest.raises(BadName, match="control characters"):
        check_object_id(before + control + after)


@pytest.mark.parametrize("object_id", ["", "x" * 257])
def test_an_object_id_has_a_length(object_id: str) -> None:
    with pytest.raises(BadName, match="1 to 256"):
        check_object_id(object_id)


def test_a_digest_is_32_hexadecimal_digits() -> None:
    assert check_digest("0123456789abcdef" * 2)
    for other in ("", "0" * 31, "0" * 33, "A" * 32, "g" * 32, "0" * 32 + "\n", "../" + "0" * 29):
        with pytest.raises(BadName, match="not a digest"):
            check_digest(other)
