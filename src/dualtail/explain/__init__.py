"""Explanations of models: Grad-CAM, and confidences with one semantic factor hidden."""
