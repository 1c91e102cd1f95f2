"""The adapter on two made-up shops in the published format."""

from souk_training.adapters.koubei import adapt
from souk_training.layout import Layout

PAYMENTS = "shop_id,2015-12-11,2015-12-13\n1,2.0,\n2,,188.0\n"
SHOPS = """,id,city,loc,per_pay,score,comment,shop_level,cate_1,cate_2,cate_3,city_level
0,1,湖州,885,8,4.0,12.0,3,美食,休闲茶饮,奶茶,1
1,2,NA,64,19,,,2,超市便利店,超市,,2
"""


def layout(tmp_path) -> Layout:
    (tmp_path / "daily_payments.csv").write_text(PAYMENTS, "utf-8")
    (tmp_path / "shops.csv").write_text(SHOPS, "utf-8")
    adapt(tmp_path, tmp_path / "out")
    return Layout(tmp_path / "out")


def test_gmv_is_payments_times_per_pay_and_a_blank_is_no_line(tmp_path):
    daily = layout(tmp_path).daily
    assert daily[["entity_id", "gmv", "orders"]].values.tolist() == [["1", 16.0, 2.0], ["2", 3572.0, 188.0]]


def test_attributes_keep_their_blanks(tmp_path):
    shops = layout(tmp_path).entities.set_index("entity_id")
    assert shops.loc["2", "city"] == "NA"
    assert shops.loc["2", ["rating", "review_count", "category_l3"]].isna().all()
    assert "city_level" not in shops.columns


def test_terms_and_the_approximation_travel_with_the_data(tmp_path):
    info = layout(tmp_path).info
    assert "do not redistribute" in info.terms and "per_pay" in info.notes[0]
    assert "2016-10-01" in info.holidays and info.currency == "CNY"
