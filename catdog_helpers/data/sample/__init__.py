"""The embedded sample: pictures drawn by code, and a base trained on others."""
