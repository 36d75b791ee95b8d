"""Ali-CCP: impressions of Taobao's recommender, with clicks and conversions."""

__all__ = ["feature_lists", "joined", "rows", "sample", "spec"]
