import hashlib
import hmac

from serve import serve


def verifies(text, headers, secret):
    ours = hmac.new(secret.encode("utf-8"), text.encode("utf-8"), hashlib.sha256).hexdigest()
    return hmac.compare_digest(headers.get("X-ClickDefender-Signature"), ours)


serve(verifies)
