"""The pre-training prior q (Eq. 3): estimators, bootstrap intervals, and its file."""
