"""The pretrained transformer taken apart: where its parts are, and layers that serve many episodes."""
