"""User portraits: demographic tags, the departments a user will buy from next, and an embedding."""
