"""Documents that are made to hurt, taken in for real: each ends as failed (or is read), in time, within its memory.

More of them: `tests/knowledge/extraction/test_readers.py`.
"""

import io
import zipfile
import zlib

import docx
import pytest

from tests.knowledge.conftest import _quick, add_file, alice, organization, taken_in  # noqa: F401 - fixtures
from tests.knowledge.files import docx_of, pdf_of


def pdf(objects):
    """A PDF of these objects; the first is its catalogue."""
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + trailer


def page(stream):
    """One page that shows this stream."""
    kids = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"]
    return pdf([*kids, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>", stream])


def inflating_pdf():
    """300 MB of spaces in 300 KB."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(300)) + packer.flush()
    return page(b"<< /Filter /FlateDecode /Length %d >>\nstream\n%b\nendstream" % (len(data), data))


def circular_pdf():
    """A page tree that is its own branch."""
    return pdf([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 /Parent 2 0 R >>"])


def deep_pdf():
    """A page tree of five thousand levels."""
    levels = [b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % (number + 3) for number in range(5000)]
    return pdf([b"<< /Type /Catalog /Pages 2 0 R >>", *levels, b"<< /Type /Page /MediaBox [0 0 9 9] >>"])


def nested_pdf():
    """An object of fifty thousand lists in each other."""
    return page(b"[" * 50_000 + b"]" * 50_000)


def counting_pdf():
    """One that says that it has two thousand million pages."""
    return pdf_of("Something.").replace(b"/Count 1", b"/Count 2147483647")


def docx_with(part, text):
    """A Word document in which one part is another."""
    good, out = docx_of(docx.Document()), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as before, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, text if name == part else before.read(name))
    return out.getvalue()


def laughing_docx():
    """Entities of entities: a kilobyte that becomes gigabytes."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 11))
    return docx_with("word/document.xml", f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY e0 "ha">{entities}]><d>&e10;</d>')


def curious_docx():
    """Asks for a file of ours."""
    entity = '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    word = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    paragraph = "<w:p><w:r><w:t>before &e; after</w:t></w:r></w:p>"
    return docx_with("word/document.xml", f"{entity}<w:document {word}><w:body>{paragraph}</w:body></w:document>")


def deep_docx():
    """Twenty thousand elements in each other."""
    return docx_with("word/document.xml", "<a>" * 20_000 + "</a>" * 20_000)


MADE = {
    "inflating.pdf": inflating_pdf,
    "circular.pdf": circular_pdf,
    "deep.pdf": deep_pdf,
    "nested.pdf": nested_pdf,
    "counting.pdf": counting_pdf,
    "laughing.docx": laughing_docx,
    "curious.docx": curious_docx,
    "deep.docx": deep_docx,
}


@pytest.mark.parametrize("name", MADE)
def test_a_document_that_is_made_to_hurt_ends(alice, settings, name):  # noqa: F811
    settings.KNOWLEDGE_PARSER_MEMORY_MB = 250
    settings.KNOWLEDGE_PARSER_SECONDS = 60
    data = MADE[name]()
    assert len(data) < 2 << 20
    source = taken_in(add_file(alice, name, data))
    assert source.status in ("failed", "ready")
    if source.status == "failed":
        assert source.error
        assert "Traceback" not in source.error
    read = "".join(chunk.text for document in source.documents.all() for chunk in document.chunks.all())
    assert "root:" not in read
    assert len(read) < 100_000
