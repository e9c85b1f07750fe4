import time

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


def test_it_can_be_told_to_be_in_trouble_and_counts_who_asks() -> None:
    with started("proxy.demo.coupons", "--slow-time=0.3") as coupons:
        assert coupons.ask("POST", "/be/failing").json == {"status": "failing"}
        assert coupons.ask("GET", "/coupons").status == 500
        coupons.ask("POST", "/be/refusing")
        refused = coupons.ask("GET", "/coupons")
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        coupons.ask("POST", "/be/slow")
        begun = time.monotonic()
        assert coupons.ask("GET", "/coupons").status == 200
        assert time.monotonic() - begun >= 0.3
        assert coupons.ask("POST", "/be/ill").status == 404
        assert coupons.ask("GET", "/healthz").json == {"status": "slow", "asked": 3}
        coupons.ask("POST", "/be/well")
        assert coupons.ask("GET", "/coupons/WELCOME5").status == 200
