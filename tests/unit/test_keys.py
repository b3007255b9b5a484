from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.keys import RANDOM_BYTES, SETTINGS_KEY_ID, KeyRing, digest, new_key, settings_key

randoms = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


def test_a_key_is_found_by_its_text_and_by_nothing_near_it():
    text, key = new_key(bytes(range(RANDOM_BYTES)), "backend", ("api",), ("chat:*",))
    ring = KeyRing([key])
    assert ring.find(text) is key
    assert (key.name, key.scopes, key.channels) == ("backend", ("api",), ("chat:*",))
    for other in ("", text[:-1], text + " ", text.upper(), key.id, key.digest, f"wsp_{key.id}_", text.split("_", 2)[2]):
        assert ring.find(other) is None


def test_the_text_tells_the_id_and_is_not_kept():
    text, key = new_key(bytes(range(RANDOM_BYTES)), "backend", ("api",))
    assert text.startswith(f"wsp_{key.id}_")
    assert key.digest == hashlib.sha256(text.encode()).hexdigest() == digest(text)
    assert text not in repr(key)
    assert text.split("_", 2)[2] not in repr(key)


def test_the_settings_key_may_be_any_text_even_one_like_a_generated_key():
    generated, key = new_key(bytes(RANDOM_BYTES), "first", ("api",))
    for text in ("correct horse battery staple 1234567890", "wsp_none_such", "wsp__", "ключ" * 10, generated + "x"):
        ring = KeyRing([key, settings_key(text)])
        found = ring.find(text)
        assert found is not None
        assert (found.id, found.scopes) == (SETTINGS_KEY_ID, ("admin",))
        assert ring.find(generated) is key


def test_too_little_chance_is_refused():
    with pytest.raises(ValueError, match="random bytes"):
        new_key(b"short", "backend", ("api",))


@given(st.lists(randoms, unique_by=lambda random: random[:8], max_size=5), st.text())
def test_each_key_finds_itself_and_no_text_finds_another(chances, text):
    made = [new_key(chance, "k", ("api",)) for chance in chances]
    ring = KeyRing(key for _, key in made)
    assert len(ring) == len(made)
    for key_text, key in made:
        assert ring.find(key_text) is key
    assert ring.find(text) is None


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_can_be_asked(text):
    assert KeyRing([settings_key("a" * 32)]).find(text) is None or text == "a" * 32
