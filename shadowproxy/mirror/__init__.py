"""Copies out: which arms a request goes to, how it is changed for them, and the bounded dispatch that asks them."""
