"""Quality: predictions and labels from the logs joined, judged, and written down."""
