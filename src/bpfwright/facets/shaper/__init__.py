"""Bandwidth: classes of HTB that packets are sorted into, and rates kept by token buckets, in both directions."""
