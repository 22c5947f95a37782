"""What phase-run does in real engines. `scripts/test-engines` runs these modules."""
