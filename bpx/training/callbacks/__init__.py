"""What runs during training besides the steps: one module for each kind; users import them from `bpx.callbacks`."""
