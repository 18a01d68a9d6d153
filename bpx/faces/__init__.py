"""What people touch: estimators in scikit-learn's manner."""
