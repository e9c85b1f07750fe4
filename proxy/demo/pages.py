"""The shop's HTML. Everything that is not written here is escaped."""

from collections.abc import Sequence
from html import escape

from proxy.demo.coupon_client import Coupon
from proxy.demo.database import Item, Line, Order

_STYLE = """
*{box-sizing:border-box}body{margin:0;background:#faf8f4;color:#2b2723;
font:16px/1.55 Georgia,"Noto Serif",serif}a{color:#7c3d22}
header,main,footer{max-width:62rem;margin:auto;padding:1rem}
header{display:flex;gap:1.4rem;align-items:baseline;border-bottom:1px solid #e2dbcf}
header b a{font-size:1.4rem;text-decoration:none;color:inherit;margin-right:1rem}
h1{font-size:1.7rem;margin:.6rem 0}h2{font-size:1.15rem;margin:2rem 0 .6rem}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(12rem,1fr));gap:1.2rem;
padding:0;list-style:none}.card{background:#fff;border-radius:10px;overflow:hidden;
box-shadow:0 1px 4px #0002}.card a{text-decoration:none;color:inherit;display:block}
.card img{width:100%;height:auto;display:block}.card p{margin:.2rem .9rem .8rem}
.item{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:2rem}
.item img{width:100%;height:auto;border-radius:10px}.price{font-weight:bold}
.muted{color:#746b60;font-size:.9rem}.coupon{background:#fff3d6;padding:.5rem .8rem;
border-radius:8px}table{border-collapse:collapse;width:100%;background:#fff}
td,th{text-align:left;padding:.5rem .8rem;border-bottom:1px solid #eee5d8}
form{display:inline-flex;gap:.5rem;margin:.3rem .5rem .3rem 0;flex-wrap:wrap}
input,button{font:inherit;padding:.4rem .8rem;border:1px solid #b9ad9b;border-radius:8px}
input[type=number]{width:5rem}button{background:#7c3d22;color:#fff;border:0;cursor:pointer}
button.plain{background:#e9e2d6;color:inherit}
"""

_LOAD_RECOMMENDATIONS = """<section id="recommended"></section><script>
fetch("/recommendations%s",{headers:{Accept:"text/html"}})
.then(r=>r.ok?r.text():"").then(t=>{document.getElementById("recommended").innerHTML=t})
.catch(()=>{})</script>"""


def home(items: Sequence[Item]) -> str:
    """All items."""
    return _page(
        "The Old Kiln",
        '<h1>Pots, thrown and fired by hand</h1><p class="muted">Small batches. What is gone is '
        f"gone.</p>{_grid(items)}{_LOAD_RECOMMENDATIONS % ''}",
    )


def item(shown: Item, coupons: Sequence[Coupon]) -> str:
    """One item, with what it takes to buy it."""
    fields = f'<input type="hidden" name="item_id" value="{shown.id}">'
    quantity = (
        '<input type="number" name="quantity" value="1" min="1" max="10" aria-label="Quantity">'
    )
    buy = (
        f'<form method="post" action="/orders">{fields}{quantity}'
        f"{_COUPON_FIELD}<button>Buy now</button></form>"
        f'<form method="post" action="/cart">{fields}<input type="hidden" name="action" '
        'value="add"><button class="plain">Put into the cart</button></form>'
    )
    return _page(
        shown.name,
        f'<div class="item">{_picture(shown)}<div><h1>{escape(shown.name)}</h1>'
        f"<p>{escape(shown.about)}</p><p><span class=price>{_money(shown.price_cents)}</span> "
        f'<span class="muted">{_left(shown)}</span></p>{buy if shown.stock else ""}'
        f"{_coupons(coupons)}</div></div>{_LOAD_RECOMMENDATIONS % f'/{shown.id}'}",
    )


def cart(lines: Sequence[Line], coupons: Sequence[Coupon]) -> str:
    """What is in the cart."""
    if not lines:
        return _page("Cart", '<h1>Cart</h1><p>It is empty. <a href="/">Look around.</a></p>')
    rows = "".join(
        f'<tr><td><a href="/items/{line.item_id}">{escape(line.name)}</a></td>'
        f"<td>{line.quantity}</td><td>{_money(line.price_cents * line.quantity)}</td>"
        '<td><form method="post" action="/cart"><input type="hidden" name="action" value="remove">'
        f'<input type="hidden" name="item_id" value="{line.item_id}">'
        '<button class="plain">Remove</button></form></td></tr>'
        for line in lines
    )
    total = sum(line.price_cents * line.quantity for line in lines)
    return _page(
        "Cart",
        f"<h1>Cart</h1><table><tr><th>Item</th><th>Pieces</th><th>Price</th><th></th></tr>{rows}"
        f"<tr><th>Total</th><td></td><th>{_money(total)}</th><td></td></tr></table>"
        f'<form method="post" action="/orders">{_COUPON_FIELD}<button>Order</button></form>'
        f"{_coupons(coupons)}",
    )


def ordered(order: Order) -> str:
    """Thanks for an order."""
    return _page(
        "Thank you",
        f"<h1>Thank you</h1><p>Order {order.id}: {_contents(order)}, "
        f"{_money(order.total_cents)}.</p>"
        '<p><a href="/">Back to the shop</a>, or see the <a href="/orders">recent orders</a>.</p>',
    )


def orders(recent: Sequence[Order]) -> str:
    """Recent orders."""
    rows = "".join(
        f"<tr><td>{order.id}</td><td>{escape(order.created)}</td><td>{_contents(order)}</td>"
        f"<td>{_money(order.total_cents)}</td></tr>"
        for order in recent
    )
    return _page(
        "Recent orders",
        "<h1>Recent orders</h1><table><tr><th>Order</th><th>Time</th><th>Contents</th>"
        f"<th>Total</th></tr>{rows}</table>",
    )


def recommendations(items: Sequence[Item], *, title: str) -> str:
    """A part of a page, which other pages load when they are shown."""
    return f"<h2>{escape(title)}</h2>{_grid(items)}"


def trouble(title: str, text: str) -> str:
    """A page that says what can't be done."""
    return _page(
        title,
        f'<h1>{escape(title)}</h1><p>{escape(text)}</p><p><a href="/">Back to the shop</a></p>',
    )


_COUPON_FIELD = '<input name="coupon" size="12" placeholder="Coupon" aria-label="Coupon code">'


def _page(title: str, content: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{_STYLE}</style>'
        '</head><body><header><b><a href="/">The Old Kiln</a></b><a href="/cart">Cart</a>'
        f'<a href="/orders?limit=20">Recent orders</a></header><main>{content}</main>'
        '<footer class="muted">A demo shop: eight threads, and a queue without end.</footer>'
        "</body></html>"
    )


def _grid(items: Sequence[Item]) -> str:
    cards = "".join(
        f'<li class="card"><a href="/items/{each.id}">{_picture(each)}<p>{escape(each.name)}<br>'
        f'<span class="price">{_money(each.price_cents)}</span> '
        f'<span class="muted">{_left(each)}</span></p></a></li>'
        for each in items
    )
    return f'<ul class="grid">{cards}</ul>'


def _picture(shown: Item) -> str:
    return (
        f'<img src="/pictures/{shown.id}.svg" alt="{escape(shown.name)}" width="300" height="300">'
    )


def _contents(order: Order) -> str:
    return ", ".join(f"{line.quantity} x {escape(line.name)}" for line in order.lines)


def _coupons(coupons: Sequence[Coupon]) -> str:
    return "".join(
        f'<p class="coupon"><b>{escape(each.code)}</b> takes {each.percent} % off. '
        f"{escape(each.text)}</p>"
        for each in coupons
    )


def _left(shown: Item) -> str:
    return f"{shown.stock} left" if shown.stock else "sold out"


def _money(cents: int) -> str:
    return f"€ {cents // 100}.{cents % 100:02}"
