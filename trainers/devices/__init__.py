"""The devices that a run trains on."""
