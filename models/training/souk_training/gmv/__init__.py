"""`merchant_gmv`: the GMV of a merchant over the 28 days that follow `as_of`."""

HORIZON_DAYS = 28
# A shop takes part at an origin if it has a record in this many days before it.
ACTIVE_DAYS = 28
