"""Posting to endpoints: only to addresses of the internet, bounded in time and size, never led elsewhere."""

import asyncio

import httpx

from events.addresses import BadAddress, direct_client, pinned, split_url
from events.conf import conf
from events.event import storable
from events.retry_after import seconds_to_wait
from events.webhooks.deliveries import Letter, Outcome

USER_AGENT = "throughline"


async def post(letter: Letter) -> Outcome:
    """Posts a letter within WEBHOOK_SEND_SECONDS, and says what came of it; raises nothing for what the other side does."""
    place = split_url(letter.url).hostname
    try:
        async with asyncio.timeout(conf.WEBHOOK_SEND_SECONDS):
            # The name is looked up, and checked, at every attempt: it was registered long ago, and may lead elsewhere now.
            url, host, names = await pinned(letter.url, unless="WEBHOOK_ALLOW_PRIVATE_ADDRESSES")
            # Not compressed: a small answer could become a huge one.
            headers = {"Host": host, "User-Agent": USER_AGENT, "Accept-Encoding": "identity"} | letter.headers
            async with direct_client() as client:
                request = client.build_request("POST", url, content=letter.body, headers=headers, extensions=names)
                response = await client.send(request, stream=True)
                try:
                    return _outcome(response, await _beginning(response))
                finally:
                    await response.aclose()
    except BadAddress as error:
        return Outcome(reason=str(error))
    except TimeoutError:
        return Outcome(reason=f"{place} did not answer within {conf.WEBHOOK_SEND_SECONDS:g} s.")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return Outcome(reason=f"{place} cannot be reached ({type(error).__name__}).")


async def _beginning(response: httpx.Response) -> str:
    """As much of the answer's body as is kept; the rest is not read."""
    body = bytearray()
    try:
        async for piece in response.aiter_raw():
            body += piece
            if len(body) >= conf.WEBHOOK_ANSWER_MAX_BYTES:
                break
    except httpx.HTTPError:
        # The status has come, and that is what decides.
        pass
    return str(storable(body[: conf.WEBHOOK_ANSWER_MAX_BYTES].decode("utf-8", "replace")))


def _outcome(response: httpx.Response, answer: str) -> Outcome:
    status = response.status_code
    if 200 <= status < 300:
        return Outcome(status, answer)
    reason = f"It answered {status}."
    if 300 <= status < 400:
        reason = f"It answered {status}: redirects are not followed. Register the address that it leads to."
    return Outcome(status, answer, reason, wait=seconds_to_wait(response.headers.get("retry-after", "")))
