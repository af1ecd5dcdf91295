"""The wizard: the checklist step by step, on the user's own objects."""
