"""The network: parameters in one flat vector with named views, its state, layers and objective on it, and the MLP."""
