"""What the product is measured against, each as its own documentation tells people to use it."""
