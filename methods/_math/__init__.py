"""The mathematics that several methods share: motion flow, latent updates, training, inversion."""
