"""Foundation models: loading through open_clip, zero-shot heads, pre-training of small CLIPs."""
