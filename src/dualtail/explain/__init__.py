"""What models look at: Grad-CAM, and confidences with one semantic factor hidden."""
