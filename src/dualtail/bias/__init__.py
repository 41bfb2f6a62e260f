"""Prior estimation, class groups, logit adjustment and backdoor fusion on cached logits."""
