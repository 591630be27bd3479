"""Web Push: browsers that subscribed, the key that signs, and sending (RFC 8030, 8188, 8291, 8292)."""

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.db import transaction
from py_vapid import Vapid02
from pywebpush import WebPusher

from accounts.caller import Caller
from accounts.models import User
from accounts.threads import in_thread
from events.addresses import BadAddress, NoSuchHost, direct_client, pinned
from events.exceptions import InvalidRequest
from events.retry_after import seconds_to_wait
from notifications.conf import conf
from notifications.deliveries import Claim
from notifications.models import LONGEST_URL, Delivery, Notification, PushKey, PushReceipt, PushSubscription

LIFE_SECONDS = 24 * 3600
"""How long a push service keeps a push for a browser that is off."""

TOKEN_SECONDS = 12 * 3600
MOST_BODY_CHARS = 500
_KEY = re.compile(r"[A-Za-z0-9_-]+={0,2}", re.ASCII)
URGENCY = {"low": "low", "normal": "normal", "high": "high", "critical": "high"}


class PushFailed(Exception):
    """Not every browser could be reached now; `wait`: for how many seconds a push service wants to be left alone."""

    def __init__(self, message: str, *, wait: float = 0) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Result:
    """What a push service said: taken, gone (the browser subscribes no more), refused, or none of them: try again."""

    taken: bool = False
    gone: bool = False
    refused: bool = False
    reason: str = ""
    wait: float = 0


# Subscriptions.


@transaction.atomic
def subscribe(*, caller: Caller, endpoint: str, p256dh: str, auth: str) -> PushSubscription:
    """The caller's browser takes pushes from now on; one that belonged to someone else does not any more to him.

    Raises `InvalidRequest` for what no browser sends.
    """
    _check(endpoint, p256dh, auth)
    # One at a time for each user, so that those that are too many are counted.
    User.objects.select_for_update(no_key=True).get(pk=caller.pk)
    digest = hashlib.sha256(endpoint.encode()).hexdigest()
    values = {"user_id": caller.pk, "endpoint": endpoint, "p256dh": p256dh.rstrip("="), "auth": auth.rstrip("=")}
    made, _ = PushSubscription.objects.update_or_create(digest=digest, defaults=values)
    own = PushSubscription.objects.filter(user_id=caller.pk).exclude(pk=made.pk).order_by("-created_at")
    kept = own.values_list("pk", flat=True)[: max(conf.NOTIFICATIONS_PUSH_SUBSCRIPTIONS_MAX - 1, 0)]
    own.exclude(pk__in=list(kept)).delete()
    return made


def unsubscribe(*, caller: Caller, endpoint: str) -> None:
    """One of the caller's browsers takes no more pushes; nothing when it takes none."""
    PushSubscription.objects.filter(user_id=caller.pk, digest=hashlib.sha256(endpoint.encode()).hexdigest()).delete()


def _check(endpoint: str, p256dh: str, auth: str) -> None:
    schemes = ("https", "http") if conf.NOTIFICATIONS_PUSH_PRIVATE_ADDRESSES else ("https",)
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    odd = len(endpoint) > LONGEST_URL or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint
    if odd or parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise InvalidRequest("endpoint must be the https:// address that the browser gave: subscription.toJSON().endpoint.")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _decoded(p256dh))
        if len(_decoded(auth)) != 16:
            raise ValueError
    except ValueError:
        raise InvalidRequest("keys must be those that the browser gave: subscription.toJSON().keys, {p256dh, auth}.") from None


def _decoded(text: str) -> bytes:
    if not _KEY.fullmatch(text):
        raise ValueError("no base64url")
    return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


# The key.


def key() -> PushKey:
    """The key pair of this server, made when it is asked for first. Another one would end all subscriptions."""
    found = PushKey.objects.first()
    if found is None:
        PushKey.objects.bulk_create([_new_key()], ignore_conflicts=True)
        found = PushKey.objects.get()
    return found


def _new_key() -> PushKey:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    point = private.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return PushKey(private_pem=pem, public_key=base64.urlsafe_b64encode(point).rstrip(b"=").decode())


# Sending.


async def send(found: Claim) -> int:
    """Pushes to all of the user's browsers that have not taken it yet; how many did in all. Raises `PushFailed`.

    Browsers that are gone are removed.
    """
    pair = await in_thread(key)
    left = await in_thread(_left, found)
    results = await asyncio.gather(*(_push(each, found, pair) for each in left))
    await in_thread(_keep, found, list(zip(left, results, strict=True)))
    again = [result for result in results if not (result.taken or result.gone or result.refused)]
    if again:
        raise PushFailed(again[0].reason, wait=max(result.wait for result in again))
    return await in_thread(PushReceipt.objects.filter(delivery=found.first).count)


def _left(found: Claim) -> list[PushSubscription]:
    taken = PushReceipt.objects.filter(delivery=found.first).values("subscription_id")
    return list(PushSubscription.objects.filter(user=found.user).exclude(pk__in=taken))


def _keep(found: Claim, results: Sequence[tuple[PushSubscription, Result]]) -> None:
    gone = [each.pk for each, result in results if result.gone]
    PushSubscription.objects.filter(pk__in=gone).delete()
    known = set(PushSubscription.objects.filter(pk__in=[each.pk for each, _ in results]).values_list("pk", flat=True))
    receipts = [
        PushReceipt(delivery=found.first, subscription=each) for each, result in results if result.taken and each.pk in known
    ]
    PushReceipt.objects.bulk_create(receipts, ignore_conflicts=True)


def message_of(found: Claim) -> bytes:
    """What the browser's service worker reads; push services take 4 KB."""
    row: Delivery = found.first
    told = {
        "title": found.title,
        "body": found.body[:MOST_BODY_CHARS],
        "action_url": found.action_url or "/notifications",
        "priority": str(row.priority),
        # A push that comes twice replaces itself.
        "tag": str(row.pk),
    }
    encoded = json.dumps(told, ensure_ascii=False).encode()
    return encoded if len(encoded) < 3500 else json.dumps(told | {"body": "", "action_url": "/notifications"}).encode()


async def _push(subscription: PushSubscription, found: Claim, pair: PushKey) -> Result:
    body = WebPusher({"endpoint": subscription.endpoint, "keys": {"p256dh": subscription.p256dh, "auth": subscription.auth}})
    encrypted = body.encode(message_of(found), content_encoding="aes128gcm")["body"]
    headers = {
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(LIFE_SECONDS),
        "Urgency": URGENCY.get(found.rule.priority, Notification.Priority.NORMAL),
        # What was not fetched yet is replaced by the same again.
        "Topic": found.first.pk.hex,
    }
    place = urlsplit(subscription.endpoint).hostname
    try:
        async with asyncio.timeout(conf.NOTIFICATIONS_SEND_SECONDS):
            url, headers["Host"], names = await pinned(subscription.endpoint, unless="NOTIFICATIONS_PUSH_PRIVATE_ADDRESSES")
            headers |= _signed(subscription.endpoint, pair)
            async with direct_client() as client:
                request = client.build_request("POST", url, content=encrypted, headers=headers, extensions=names)
                # Not read further than its head: nobody can keep us busy with an answer.
                return _read(await client.send(request, stream=True))
    except NoSuchHost as error:
        return Result(reason=str(error))
    except BadAddress as error:
        return Result(refused=True, reason=str(error))
    except TimeoutError:
        return Result(reason=f"{place} did not answer within {conf.NOTIFICATIONS_SEND_SECONDS:g} s.")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return Result(reason=f"{place} cannot be reached ({type(error).__name__}).")


def _read(response: httpx.Response) -> Result:
    status = response.status_code
    if 200 <= status < 300:
        return Result(taken=True)
    if status in (404, 410):
        return Result(gone=True)
    if status == 429 or status >= 500:
        wait = seconds_to_wait(response.headers.get("retry-after", ""))
        return Result(reason=f"The push service answered {status}.", wait=wait)
    # It will say the same again: the request is wrong, or the key is not the one that was subscribed with.
    return Result(refused=True, reason=f"The push service answered {status}.")


def _signed(endpoint: str, pair: PushKey) -> dict[str, str]:
    parts = urlsplit(endpoint)
    contact = conf.NOTIFICATIONS_PUSH_CONTACT or f"mailto:{settings.DEFAULT_FROM_EMAIL}"
    claims = {"aud": f"{parts.scheme}://{parts.netloc}", "exp": int(time.time()) + TOKEN_SECONDS, "sub": contact}
    signed: dict[str, str] = Vapid02.from_pem(pair.private_pem.encode()).sign(claims)
    return signed
