"""The firewall: rules of net.yaml compiled to tables whose answers are ANDed, so that many rules cost what few do."""
