"""Waits until an S3 server answers, and makes the bucket `lake`. Argument: the server's address."""

import sys
import time

import boto3
from botocore.config import Config

config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
s3 = boto3.client("s3", endpoint_url=sys.argv[1], config=config)
for _ in range(150):
    try:
        s3.create_bucket(Bucket="lake")
        break
    except Exception as error:
        latest = error
        time.sleep(0.2)
else:
    raise SystemExit(f"no answer: {latest}")
