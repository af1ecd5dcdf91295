"""What the live panels cost the browser: `python -m benchmarks.browser`.

Drives a real JupyterLab in Chromium, as the browser tests do, and reads Chromium's own accounts.
"""
