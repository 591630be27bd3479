"""Documents and versions in the admin: found by their ids and people, never written, their HTML never shown."""

import re
from html import unescape

import pytest

from chat.editing import changes
from chat.models import DocumentVersion, EditedDocument
from chat.services import documents

MODELS = {"editeddocument": EditedDocument, "documentversion": DocumentVersion}


@pytest.fixture
def version(alice):
    return documents.store(caller=alice, html="<p>one</p><script>secret()</script>", title="A title")


@pytest.fixture
def changed(alice, version):
    document = documents.load(version)
    batch = changes.batch([changes.edit(document, document.chunks[0], "<p>two</p>", "<i>because</i>")])
    return documents.apply(caller=alice, version_id=version.pk, changes=batch)


@pytest.mark.parametrize("name", MODELS)
def test_the_pages_open_and_nothing_can_be_written(admin_client, changed, name):
    for row in MODELS[name].objects.all():
        for address in (f"/admin/chat/{name}/", f"/admin/chat/{name}/{row.pk}/change/"):
            response = admin_client.get(address)
            assert response.status_code == 200
            assert "secret()" not in response.content.decode()
            assert "<i>because" not in response.content.decode()
        assert admin_client.post(f"/admin/chat/{name}/{row.pk}/change/", {"title": "x"}).status_code == 403
        assert admin_client.post(f"/admin/chat/{name}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.get(f"/admin/chat/{name}/add/").status_code == 403


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("editeddocument", "{document}", "1 edited document"),
        ("editeddocument", "alice", "1 edited document"),
        ("editeddocument", "nobody", "0 edited documents"),
        ("documentversion", "{document}", "2 document versions"),
        ("documentversion", "{version}", "1 document version"),
        ("documentversion", "user_alice", "2 document versions"),
        ("documentversion", "ali", "0 document versions"),
    ],
)
def test_they_are_found_by_ids_and_people(admin_client, version, changed, name, text, count):
    query = text.format(document=version.document_id, version=version.pk)
    shown = unescape(admin_client.get(f"/admin/chat/{name}/", {"q": query}).content.decode())
    assert re.search(rf"\b{count}\s*\n", shown)
