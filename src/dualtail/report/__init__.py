"""Pages for people, made from outputs."""
