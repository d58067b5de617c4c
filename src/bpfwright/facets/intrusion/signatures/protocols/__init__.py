"""Protocols taken apart on reassembled bytes: what streams and datagrams say, as buffers that rules name."""
