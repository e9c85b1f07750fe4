from tests.demo.service_process import started


def test_coupons_are_listed_and_found_whatever_the_case() -> None:
    with started("proxy.demo.coupons") as coupons:
        today = coupons.ask("GET", "/coupons").json["coupons"]
        assert isinstance(today, list)
        assert len(today) == 2
        for coupon in today:
            assert coupons.ask("GET", f"/coupons/{coupon['code'].lower()}").json == coupon
        assert coupons.ask("GET", "/coupons/NONE").status == 404
        assert coupons.ask("GET", "/healthz").status == 200
        assert coupons.ask("POST", "/coupons", {}).status == 405
