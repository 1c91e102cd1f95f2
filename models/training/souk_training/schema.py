"""The typed features of the wire, by name and kind.

A copy of `proto/souk/v1/{merchant_gmv,user_portrait}.proto`; a test reads the protos and compares,
so that the two cannot drift apart. It deliberately holds no meaning beyond the kind: units and ranges
are in the protos' comments.
"""

NUMBER, CATEGORY = "number", "category"
NUMBER_LIST, CATEGORY_LIST = "number_list", "category_list"
CALENDAR = "calendar"
KINDS = (NUMBER, CATEGORY, NUMBER_LIST, CATEGORY_LIST, CALENDAR)

MERCHANT_FIELDS = {
    "country": CATEGORY,
    "city": CATEGORY,
    "area": CATEGORY,
    "category_l1": CATEGORY,
    "category_l2": CATEGORY,
    "category_l3": CATEGORY,
    "tenure_days": NUMBER,
    "shop_level": NUMBER,
    "average_basket": NUMBER,
    "rating": NUMBER,
    "review_count": NUMBER,
    "active_products": NUMBER,
    "fulfilment_rate": NUMBER,
    "refund_rate": NUMBER,
    "late_delivery_rate": NUMBER,
    "daily_gmv": NUMBER_LIST,
    "daily_orders": NUMBER_LIST,
    "live_sessions": NUMBER,
    "live_viewers": NUMBER,
    "short_videos": NUMBER,
    "short_video_views": NUMBER,
    "page_views": NUMBER,
    "unique_visitors": NUMBER,
    "conversion_rate": NUMBER,
}

USER_FIELDS = {
    "country": CATEGORY,
    "city": CATEGORY,
    "device": CATEGORY,
    "tenure_days": NUMBER,
    "coupons_redeemed": NUMBER,
    "campaigns_received": NUMBER,
    "events.time": NUMBER_LIST,
    "events.action": CATEGORY_LIST,
    "events.item": CATEGORY_LIST,
    "events.category": CATEGORY_LIST,
    "events.department": CATEGORY_LIST,
    "events.brand": CATEGORY_LIST,
    "events.price": NUMBER_LIST,
    "events.quantity": NUMBER_LIST,
    "events.discount": NUMBER_LIST,
    "events.store": CATEGORY_LIST,
}

FIELDS_OF_TASK = {"merchant_gmv": MERCHANT_FIELDS, "user_portrait": USER_FIELDS, "tensors": {}}

# The key under which `extra` carries a value of each kind (`FeatureValue.kind`).
EXTRA_KEY = {
    NUMBER: "number",
    CATEGORY: "category",
    NUMBER_LIST: "numbers",
    CATEGORY_LIST: "categories",
}
