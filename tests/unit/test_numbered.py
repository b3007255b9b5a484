import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsplatform.core.numbered import SMALLEST, Numbered, encode

publications = st.builds(
    Numbered,
    run=st.text("0123456789abcdef", min_size=1, max_size=12),
    publisher=st.integers(0, 99),
    number=st.integers(1, 10**9),
    at=st.integers(0, 10**12),
)


@given(publications, st.integers(SMALLEST, 2000))
def test_it_has_the_size_asked_for_and_can_be_read_again(publication: Numbered, size: int) -> None:
    data = encode(publication, size)
    assert len(data) == size
    assert msgspec.json.decode(data, type=Numbered) == publication
    assert msgspec.json.encode(msgspec.json.decode(data)) == data


@pytest.mark.parametrize("data", [b"{}", b'"text"', b"[1,2,3,4]", b'["run",0,1]', b'["run",0,1.5,2]', b"null"])
def test_other_data_is_not_taken_for_it(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(data, type=Numbered)
