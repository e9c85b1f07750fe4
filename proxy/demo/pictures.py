"""The items' pictures: vessels that are thrown from the item's number alone."""

from random import Random

_GLAZES = (
    ("#e9e4d8", "#bfb39a"),
    ("#8fb4a0", "#5d8671"),
    ("#4b4642", "#26211e"),
    ("#5f77ad", "#2f3f66"),
    ("#b98a63", "#875b38"),
    ("#a7a37c", "#6f6c48"),
    ("#b14a45", "#6f2430"),
    ("#b5653f", "#7c3d22"),
    ("#dcd8d0", "#8d8a86"),
    ("#c9744b", "#98502d"),
    ("#efe3d3", "#d0a98a"),
    ("#8fa5ad", "#51636b"),
)
_LIP_Y, _FOOT_Y = 50, 250


def picture(item_id: int) -> str:
    """An SVG image of 300 by 300; the same number always gives the same image."""
    random = Random(item_id * 7919)
    glaze, shade = _GLAZES[(item_id - 1) % len(_GLAZES)]
    lip, neck = 150 + random.randint(26, 62), 150 + random.randint(22, 52)
    belly, foot = 150 + random.randint(66, 108), 150 + random.randint(30, 52)
    neck_y, belly_y = random.randint(72, 96), random.randint(130, 185)
    half = (
        f"M150 {_LIP_Y}H{lip}C{lip} {_LIP_Y + 12} {neck} {neck_y - 10} {neck} {neck_y}"
        f"C{neck} {neck_y + 18} {belly} {belly_y - 34} {belly} {belly_y}"
        f"C{belly} {belly_y + 40} {foot} {_FOOT_Y - 12} {foot} {_FOOT_Y}H150Z"
    )
    bands = "".join(
        f'<path d="M30 {y}q120 {random.randint(10, 22)} 240 0" stroke-width="{width}"/>'
        for y, width in ((belly_y - 16, random.randint(2, 5)), (belly_y + 10, 3))
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 300" width="300" height="300">'
        f'<defs><clipPath id="vessel"><path id="half" d="{half}"/>'
        '<use href="#half" transform="matrix(-1 0 0 1 300 0)"/></clipPath>'
        f'<linearGradient id="light"><stop stop-color="{shade}"/>'
        f'<stop offset=".4" stop-color="{glaze}"/><stop offset="1" stop-color="{shade}"/>'
        '</linearGradient></defs><rect width="300" height="300" fill="#f3efe8"/>'
        f'<ellipse cx="150" cy="{_FOOT_Y}" rx="{belly - 150}" ry="10" fill="#000" opacity=".1"/>'
        '<g clip-path="url(#vessel)" fill="none">'
        f'<rect x="40" width="220" height="300" fill="url(#light)"/><g stroke="{shade}">{bands}</g>'
        f'</g><ellipse cx="150" cy="{_LIP_Y}" rx="{lip - 150}" ry="7" fill="{shade}"/></svg>'
    )
