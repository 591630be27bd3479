"""The product's side of a measurement: an account, and a publisher."""
