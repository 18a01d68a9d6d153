"""The network itself: one flat vector of parameters with named views, dense layers on it, and the MLP they make."""
