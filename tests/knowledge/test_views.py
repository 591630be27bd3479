"""Sources and attachments over REST, as a client sees them."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts import services as accounts
from accounts.models import User
from accounts.recent import recent_callers
from tests.knowledge.conftest import work_off
from tests.knowledge.files import pdf_of


@pytest.fixture
def api(alice, client):
    """Calls the API as alice, or as another: (status, body)."""
    recent_callers.clear()

    def call(method, path, body=None, *, user="alice", **options):
        token = accounts.access_token_for(user=User.objects.get(username=user))
        if body is not None:
            options |= {
                "data": json.dumps(body) if not isinstance(body, str | bytes) else body,
                "content_type": "application/json",
            }
        response = getattr(client, method)(path, headers={"Authorization": f"Bearer {token}"}, **options)
        return response.status_code, response.json() if response.content else None

    return call


def test_a_text_is_taken_in_and_searched(api):
    status, made = api("post", "/api/v1/sources", {"name": "notes", "text": "# Sea\n\nLighthouses warn ships."})
    assert status == 201
    assert {"id", "name", "status"} <= made.keys()
    assert (made["name"], made["status"], made["searchable"]) == ("notes", "queued", False)
    assert api("get", f"/api/v1/sources/{made['id']}/search?q=lighthouses")[0] == 400
    work_off()
    assert api("get", f"/api/v1/sources/{made['id']}")[1]["status"] == "ready"
    status, found = api("get", f"/api/v1/sources/{made['id']}/search?q=lighthouses")
    assert status == 200
    assert "warn ships" in found["results"][0]["text"]
    status, listed = api("get", "/api/v1/sources")
    assert [source["id"] for source in listed["results"]] == [made["id"]]
    assert listed["next"] is None


def test_a_file_is_taken_in(api):
    upload = SimpleUploadedFile("report.pdf", pdf_of("Profits have grown."), content_type="application/octet-stream")
    status, made = api("post", "/api/v1/sources", data={"file": upload, "name": "Report", "metadata": '{"year": 2024}'})
    assert status == 201, made
    assert (made["name"], made["kind"], made["metadata"]) == ("Report", "pdf", {"year": 2024})
    work_off()
    assert api("get", f"/api/v1/sources/{made['id']}")[1]["chunks"] == 1


def test_an_attachment_has_a_storage_key_and_an_address_of_its_own(api):
    status, made = api("post", "/api/v1/attachments", {"name": "notes", "text": "Words."})
    assert status == 201
    assert {"id", "storage_key", "name", "status"} <= made.keys()
    assert api("get", f"/api/v1/sources/{made['id']}")[0] == 404
    assert api("get", f"/api/v1/attachments/{made['id']}")[1]["storage_key"] == made["storage_key"]
    assert api("delete", f"/api/v1/attachments/{made['id']}") == (204, None)


def test_taking_in_again_cancelling_and_deleting(api):
    made = api("post", "/api/v1/sources", {"name": "notes", "text": "Words."})[1]
    address = f"/api/v1/sources/{made['id']}"
    assert api("post", f"{address}/reingest")[0] == 409
    status, cancelled = api("post", f"{address}/cancel")
    assert (status, cancelled["status"]) == (202, "cancelled")
    assert api("post", f"{address}/cancel")[0] == 409
    assert api("post", f"{address}/reingest")[0] == 202
    work_off()
    assert api("get", address)[1]["status"] == "ready"
    assert api("delete", address) == (204, None)
    assert api("get", address)[0] == 404


@pytest.mark.parametrize("act", ["", "/search?q=x", "/reingest", "/cancel"])
def test_a_stranger_is_told_that_there_is_nothing(api, mallory, act):
    made = api("post", "/api/v1/sources", {"name": "notes", "text": "Words."})[1]
    method = "post" if act in {"/reingest", "/cancel"} else "get"
    assert api(method, f"/api/v1/sources/{made['id']}{act}", user="mallory")[0] == 404
    assert api("delete", f"/api/v1/sources/{made['id']}", user="mallory")[0] == 404


def test_without_credentials_nothing(client, transactional_db):
    assert client.get("/api/v1/sources").status_code == 401
    assert client.post("/api/v1/attachments").status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"text": "x"},
        {"name": "x", "text": " \n"},
        {"name": "", "text": "x"},
        {"name": "x" * 256, "text": "x"},
        {"name": "x", "text": "a\x00b"},
        {"name": "x", "text": "a\ud800b"},
        {"name": "x", "text": 5, "metadata": []},
        {"name": "x", "text": "x", "metadata": "no json"},
        {"name": "x", "text": "x", "metadata": {"a": "\x00"}},
        {"name": "x", "text": "x", "embedding_model": "nonsense"},
        [],
        "nonsense",
        b"\xff\xfe",
        "[" * 10_000,
    ],
)
def test_bodies_that_are_none_are_refused(api, body):
    status, answer = api("post", "/api/v1/sources", body)
    assert status == 400, answer


@pytest.mark.parametrize(("name", "data"), [("a.exe", b"MZ\x90"), ("a.txt", b""), ("a.pdf", b"no pdf")])
def test_files_that_cannot_be_taken_are_refused_with_a_sentence(api, name, data):
    status, answer = api("post", "/api/v1/sources", data={"file": SimpleUploadedFile(name, data)})
    assert status == 400
    assert len(answer["detail"]) > 20


def test_bodies_past_the_limits_are_413(api, settings):
    settings.KNOWLEDGE_TEXT_MAX_BYTES = 1000
    settings.KNOWLEDGE_MAX_BYTES = 5000
    assert api("post", "/api/v1/sources", {"name": "x", "text": "x" * 1000})[0] == 413
    assert api("post", "/api/v1/sources", data={"file": SimpleUploadedFile("a.txt", b"x" * 5001)})[0] == 413
    assert api("post", "/api/v1/sources", data={"file": SimpleUploadedFile("a.txt", b"x" * 5000)})[0] == 201
    assert api("post", "/api/v1/sources", data={"file": SimpleUploadedFile("a.txt", b"x" * 2_000_000)})[0] == 413


@pytest.mark.parametrize("query", ["", "q=", "q=x&limit=0", "q=x&limit=51", "q=x&strategy=magic", "q=x&similarity_threshold=nan"])
def test_searches_that_are_none_are_refused(api, query):
    made = api("post", "/api/v1/sources", {"name": "notes", "text": "Words."})[1]
    work_off()
    assert api("get", f"/api/v1/sources/{made['id']}/search?{query}")[0] == 400


def test_an_id_that_is_none_is_refused(api):
    assert api("get", "/api/v1/sources/nonsense")[0] == 400


@pytest.mark.parametrize("model", ["source", "ingestion", "document", "chunk"])
def test_the_admin_shows_it(api, admin_client, model):
    from django.apps import apps

    api("post", "/api/v1/sources", {"name": "notes", "text": "Words."})
    work_off()
    row = apps.get_model("knowledge", model).objects.get()
    assert admin_client.get(f"/admin/knowledge/{model}/?q=notes").status_code == 200
    assert admin_client.get(f"/admin/knowledge/{model}/{row.pk}/change/").status_code == 200
