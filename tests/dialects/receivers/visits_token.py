import hmac
import os

from serve import serve

HEADER = os.environ.get("HEADER", "X-Webhook-Signature")


def verifies(_text, headers, secret):
    return hmac.compare_digest(headers.get(HEADER), secret)


serve(verifies)
