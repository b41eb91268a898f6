"""Object stores, s3://, gs:// and az://, that hold models or tables."""
