"""The layer 4 balancer. So far: how a backend is chosen (`ring`, `hashes`); nothing of it is public yet."""
