import pytest

from proxy.demo import pages
from proxy.demo.coupon_client import Coupon
from proxy.demo.database import Item, Line, Order

EVIL = '<script>"&'
ITEM = Item(1, EVIL, EVIL, 1205, 3)
LINE = Line(1, EVIL, 1205, 2)
COUPON = Coupon(EVIL, 5, EVIL)


@pytest.mark.parametrize(
    "page",
    [
        pages.home([ITEM]),
        pages.item(ITEM, [COUPON]),
        pages.cart([LINE], [COUPON]),
        pages.ordered(Order(1, EVIL, EVIL, 2410, (LINE,))),
        pages.orders([Order(1, EVIL, EVIL, 2410, (LINE,))]),
        pages.recommendations([ITEM], title=EVIL),
        pages.trouble(EVIL, EVIL),
    ],
)
def test_what_comes_from_elsewhere_is_escaped(page: str) -> None:
    assert EVIL not in page
    assert "&lt;script&gt;&quot;&amp;" in page


def test_money_has_two_digits_after_the_point() -> None:
    assert "€ 12.05" in pages.home([ITEM])


def test_a_sold_out_item_can_not_be_bought() -> None:
    page = pages.item(Item(1, "Jar", "", 100, 0), [])
    assert "sold out" in page
    assert "<form" not in page
