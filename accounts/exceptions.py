"""Errors of accounts that Django REST framework has no class for."""

from rest_framework.exceptions import APIException


class IdentityUnavailable(APIException):
    """What is needed to check a credential (the database, or the JWK set) cannot be reached: 503, try again."""

    status_code = 503
    default_detail = "Credentials cannot be checked right now. Try again shortly."
    default_code = "identity_unavailable"
    wait = 2
    """Seconds for `Retry-After`; DRF's exception handler reads this name."""


class TokensNotIssued(APIException):
    """This server only verifies tokens, another service issues them: 501."""

    status_code = 501
    default_detail = "This server does not issue tokens. Get one from the service that signs them (JWT_ALGORITHM is RS256)."
    default_code = "tokens_not_issued"


class TooManyApiKeys(APIException):
    """The user has as many API keys as allowed: 409."""

    status_code = 409
    default_detail = "This user has as many API keys as allowed. Revoke one first."
    default_code = "too_many_api_keys"
