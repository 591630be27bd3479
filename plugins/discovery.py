"""Where to authorize for an MCP server, as MCP says: RFC 9728 names its authorization server, RFC 8414 that one's endpoints."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult

from events.addresses import BadAddress, origin_of, same_origin, split_url
from plugins.fetching import Answer, BadAnswer, Question, fetch

RESOURCE_METADATA = re.compile(r'\bresource_metadata\s*=\s*"([^"]+)"', re.IGNORECASE)
LONGEST = 500


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """What is known of an authorization server. `scopes`: those the MCP server asks for."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str = ""
    client_auth: str = "client_secret_basic"
    names_issuer: bool = False
    scopes: str = ""


async def discover(server_url: str, refused: Answer) -> AuthorizationServer:
    """The authorization server of an MCP server, which answered `refused` to one without a token.

    Raises `FetchFailed` and `BadAddress`.
    """
    resource = await _protected_resource(server_url, refused)
    # MCP servers older than RFC 9728 authorize at their own origin.
    issuer = origin_of(split_url(server_url))
    servers = resource.get("authorization_servers")
    if isinstance(servers, list) and servers and isinstance(servers[0], str):
        issuer = servers[0]
    metadata = await _server_metadata(issuer)
    scopes = resource.get("scopes_supported")
    return _checked(issuer, metadata, scopes if isinstance(scopes, list) else [])


async def _protected_resource(server_url: str, refused: Answer) -> dict[str, Any]:
    """Its metadata (RFC 9728); {} when it publishes none."""
    parts = split_url(server_url)
    named = RESOURCE_METADATA.search(refused.headers.get("www-authenticate", ""))
    base = f"{origin_of(parts)}/.well-known/oauth-protected-resource"
    urls = [named[1]] if named else [base + parts.path.rstrip("/"), base]
    found = await _first_object(urls)
    if found is None:
        return {}
    _refuse_other_resource(found.get("resource"), parts)
    return found


def _refuse_other_resource(resource: object, parts: SplitResult) -> None:
    """Section 3.3: metadata for another resource could have us send this one's tokens elsewhere. A parent path is accepted."""
    try:
        named = split_url(resource) if isinstance(resource, str) else None
    except BadAddress:
        named = None
    path = f"{parts.path.rstrip('/')}/"
    if named is None or not same_origin(named, parts) or not path.startswith(f"{named.path.rstrip('/')}/"):
        raise BadAnswer("The server's metadata is that of another resource (RFC 9728 section 3.3).")


async def _server_metadata(issuer: str) -> dict[str, Any]:
    """RFC 8414 section 3.1, and the two places of OpenID Connect."""
    parts = split_url(issuer)
    origin, path = origin_of(parts), parts.path.rstrip("/")
    urls = [f"{origin}/.well-known/oauth-authorization-server{path}", f"{origin}/.well-known/openid-configuration{path}"]
    if path:
        urls.append(f"{origin}{path}/.well-known/openid-configuration")
    found = await _first_object(urls)
    if found is None:
        raise BadAnswer(f"{parts.hostname} publishes no OAuth metadata. Give authorization_endpoint and token_endpoint.")
    return found


async def _first_object(urls: list[str]) -> dict[str, Any] | None:
    for url in dict.fromkeys(urls):
        answer = await fetch(Question(url))
        if answer.is_success:
            return answer.json_object()
        if answer.status >= 500:
            raise BadAnswer(f"{split_url(url).hostname} answered {answer.status}. Try again later.")
    return None


def _checked(issuer: str, metadata: dict[str, Any], scopes: list[Any]) -> AuthorizationServer:
    named = metadata.get("issuer")
    if not isinstance(named, str) or named.rstrip("/") != issuer.rstrip("/"):
        # RFC 8414 section 3.3: otherwise one server could pose as another (mix-up).
        raise BadAnswer("The authorization server's metadata names another issuer (RFC 8414 section 3.3).")
    methods = metadata.get("code_challenge_methods_supported")
    if not isinstance(methods, list) or "S256" not in methods:
        raise BadAnswer("The authorization server does not support PKCE with S256, which MCP asks for.")
    for name in ("authorization_endpoint", "token_endpoint"):
        split_url(str(metadata.get(name) or ""))
    registration = str(metadata.get("registration_endpoint") or "")
    if registration:
        split_url(registration)
    return AuthorizationServer(
        issuer=named,
        authorization_endpoint=metadata["authorization_endpoint"],
        token_endpoint=metadata["token_endpoint"],
        registration_endpoint=registration,
        client_auth=_client_auth(metadata.get("token_endpoint_auth_methods_supported")),
        names_issuer=metadata.get("authorization_response_iss_parameter_supported") is True,
        scopes=" ".join(each for each in scopes if isinstance(each, str) and each.isprintable())[:LONGEST],
    )


def _client_auth(methods: object) -> str:
    """How a client with a secret shows it; RFC 8414 section 2 names the default."""
    return "client_secret_post" if isinstance(methods, list) and "client_secret_post" in methods else "client_secret_basic"
