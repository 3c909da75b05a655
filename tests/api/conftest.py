"""One site for the tests of a module; each makes an account of its own."""

from collections.abc import Iterator

import pytest

from tests.api.site import LocalShop, Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def shop(site: Site) -> LocalShop:
    return site.operator.shop()


@pytest.fixture
def other(site: Site) -> LocalShop:
    """Another account, whose things are nobody else's."""
    return site.operator.shop("other")
