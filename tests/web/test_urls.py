from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscope.web.urls import Urls, slug


def test_pages_of_the_report_are_files() -> None:
    urls = Urls("../../")
    assert urls.overview() == "../../index.html"
    assert urls.layer("relu5") == "../../layers/relu5/index.html"
    assert urls.feature_map("relu5", 42) == "../../layers/relu5/42.html"
    assert urls.picture(12_345, "png") == "../../pictures/12/12345.png"


def test_pages_of_a_server_are_addresses() -> None:
    urls = Urls("/", files=False)
    assert urls.overview() == "/"
    assert urls.layer("relu5") == "/layers/relu5/"
    assert urls.feature_map("relu5", 42) == "/layers/relu5/42"
    assert urls.glossary() == "/glossary"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "relu#1", "50%", "C:\\x", "naïve", "a b", "<i>", '"'])
def test_any_name_makes_one_safe_part(name: str) -> None:
    part = slug(name)
    assert part not in ("", ".", "..")
    assert part == quote(part, safe="~")


@given(st.text(max_size=8), st.text(max_size=8))
def test_different_names_stay_different(first: str, second: str) -> None:
    assert (slug(first) == slug(second)) == (first == second)
