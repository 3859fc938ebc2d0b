"""The training recipe, training and evaluation on Lightning, features and classifiers."""
