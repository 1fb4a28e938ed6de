"""Training on prepared datasets with the Trainer of transformers."""
