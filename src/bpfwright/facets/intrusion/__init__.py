"""Intrusion detection: detectors in the kernel for scans, floods, spoofing, guessing, beacons; alerts in EVE JSON."""
