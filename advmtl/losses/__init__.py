"""What is learnt from: supervised, perceptual and adversarial losses, pure functions."""
