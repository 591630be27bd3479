"""Each kind of document, and each way of being broken: the message must say what to do."""

import io
import zipfile

import docx
import pytest
from pypdf import PdfWriter

from knowledge.extraction.blocks import ExtractionError
from knowledge.extraction.chunking import chunked
from knowledge.extraction.kinds import WrongKind, kind_of_content, kind_of_name
from knowledge.extraction.reading import READERS
from tests.knowledge.files import docx_of, encrypted_pdf, pdf_of


def read(tmp_path, kind, data):
    path = tmp_path / f"file.{kind}"
    path.write_bytes(data)
    return list(READERS[kind](path))


def text_of(blocks):
    return "".join(block.text for block in blocks)


def refusal(tmp_path, kind, data):
    with pytest.raises(ExtractionError) as caught:
        read(tmp_path, kind, data)
    return str(caught.value)


def test_text_is_read_as_it_stands(tmp_path):
    assert text_of(read(tmp_path, "txt", "Grüße\r\nund\rEnde\n\nZwei".encode())) == "Grüße\nund\nEnde\n\nZwei"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_marked_and_evident_encodings_are_understood(tmp_path, encoding):
    assert (
        text_of(read(tmp_path, "txt", "Größe und Maß, in jeder Kodierung.".encode(encoding)))
        == "Größe und Maß, in jeder Kodierung."
    )


def test_a_character_torn_between_two_reads_is_whole(tmp_path):
    text = "a" * 65535 + "ß" + "\r\n" * 40000
    assert text_of(read(tmp_path, "txt", text.encode())) == text.replace("\r\n", "\n")


@pytest.mark.parametrize("data", ["Größe".encode("latin-1") * 9, "Привет, мир".encode("cp1251")])
def test_another_encoding_is_refused_with_a_hint(tmp_path, data):
    assert "UTF-8" in refusal(tmp_path, "txt", data)


@pytest.mark.parametrize("data", [bytes(range(256)) * 40, b"text\x00\x00more", b"\x01\x02\x03\x04" * 100])
def test_binary_junk_named_txt_is_no_text(tmp_path, data):
    assert "no text" in refusal(tmp_path, "txt", data)


def test_an_empty_file_is_refused(tmp_path):
    assert "empty" in refusal(tmp_path, "txt", b"")


def test_one_line_of_many_megabytes_is_read_in_pieces(tmp_path):
    blocks = read(tmp_path, "txt", b"word " * 1_000_000)
    assert max(len(block.text) for block in blocks) < 20_000
    assert sum(len(block.text) for block in blocks) == 5_000_000


def test_markdown_headings_are_told_but_not_those_in_code(tmp_path):
    blocks = read(tmp_path, "md", b"# One\n\ntext\n\n```sh\n# a comment\n```\n\nTwo\n---\nmore\n")
    assert [(block.level, block.text.strip()) for block in blocks if block.level] == [(1, "# One"), (2, "Two\n---")]
    assert "# a comment" in text_of(blocks)


def test_html_is_what_a_reader_sees(tmp_path):
    page = """<!doctype html><html><head><title>no</title><style>p{}</style></head><body><nav>menu</nav>
    <h1>The <em>title</em></h1><p>First &amp; <b>bold</b>
    text.</p><script>alert(1)</script><ul><li>one</li><li>two</li></ul><table><tr><td>a</td><td>b</td></tr></table></body></html>"""
    blocks = read(tmp_path, "html", page.encode())
    assert blocks[0].level == 1
    assert text_of(blocks) == "The title\n\nFirst & bold text.\n\n- one\n- two\na b\n\n"


def test_html_is_decoded_as_it_declares(tmp_path):
    page = '<html><head><meta charset="iso-8859-1"></head><body><p>Größe</p></body></html>'
    assert "Größe" in text_of(read(tmp_path, "html", page.encode("latin-1")))


def test_html_whose_head_is_never_closed_is_read(tmp_path):
    assert "Hello" in text_of(read(tmp_path, "html", b"<html><head><title>x<body><p>Hello"))


def test_a_pdf_is_read_page_by_page(tmp_path):
    blocks = read(tmp_path, "pdf", pdf_of("The first page.", "The second page."))
    assert [block.metadata["page"] for block in blocks] == [1, 2]
    assert "second page" in blocks[1].text


def test_a_locked_pdf_says_so(tmp_path):
    assert "password" in refusal(tmp_path, "pdf", encrypted_pdf("Secret words.", password="geheim"))


def test_a_pdf_that_is_only_protected_against_printing_is_read(tmp_path):
    assert "Open words" in text_of(read(tmp_path, "pdf", encrypted_pdf("Open words.", password="")))


def test_a_pdf_of_pictures_asks_for_text_recognition(tmp_path):
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    out = io.BytesIO()
    writer.write(out)
    assert "OCR" in refusal(tmp_path, "pdf", out.getvalue())


@pytest.mark.parametrize("cut", [20, 200, 400])
def test_a_broken_pdf_is_a_sentence(tmp_path, cut):
    assert refusal(tmp_path, "pdf", pdf_of("Something.")[:cut]).startswith("The PDF ")


def test_a_word_document_with_headings_and_tables(tmp_path):
    document = docx.Document()
    document.add_heading("Guide", 1)
    document.add_paragraph("A paragraph.")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "left", "right"
    blocks = read(tmp_path, "docx", docx_of(document))
    assert [(block.level, block.text) for block in blocks] == [(1, "Guide\n\n"), (0, "A paragraph.\n\n"), (0, "left | right\n")]


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("word/document.xml", "w", force_zip64=True) as part,
    ):
        for _ in range(300):
            part.write(b" " * (1 << 20))
    assert len(out.getvalue()) < 1 << 20
    assert "unpacks to far more" in refusal(tmp_path, "docx", out.getvalue())


def test_another_archive_named_docx_is_no_word_document(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("hello.txt", "hi")
    assert "no Word document" in refusal(tmp_path, "docx", out.getvalue())


@pytest.mark.parametrize("data", [b"PK\x03\x04 broken", docx_of(docx.Document())[:900]])
def test_a_broken_word_document_is_a_sentence(tmp_path, data):
    assert "Word document" in refusal(tmp_path, "docx", data)


def test_an_empty_word_document_is_refused(tmp_path):
    assert "no text" in refusal(tmp_path, "docx", docx_of(docx.Document()))


def test_each_row_of_a_table_is_a_chunk_with_its_values(tmp_path):
    blocks = read(tmp_path, "csv", b'name;year;note\nAnn;1990;"two\nlines"\nBob;2001.5;\n\n')
    chunks = list(chunked(blocks))
    assert [chunk.text for chunk in chunks] == ["name: Ann; year: 1990; note: two lines\n", "name: Bob; year: 2001.5\n"]
    assert chunks[0].metadata == {"row": 3, "name": "Ann", "year": 1990, "note": "two\nlines"}
    assert chunks[1].metadata["year"] == 2001.5


def test_a_field_without_end_is_told_with_its_line(tmp_path):
    assert "quotation mark" in refusal(tmp_path, "csv", b'a,b\n1,"' + b"x" * 300_000 + b"\n")


def test_a_table_without_rows_is_refused(tmp_path):
    assert "no rows" in refusal(tmp_path, "csv", b"a,b,c\n")


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.txt", b"%PDF-1.7", "pdf"),
        ("a.MD", b"# x", "md"),
        ("noending", b"hello", "txt"),
        ("noending", b"<!DOCTYPE html><html>", "html"),
        ("a.txt", b"\xef\xbb\xbf<html>", "html"),
        ("a.docx", b"PK\x03\x04...", "docx"),
        ("a.tsv", b"a\tb", "csv"),
    ],
)
def test_the_kind_is_told_by_content_and_name(name, head, kind):
    assert kind_of_content(head, name=name) == kind


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.txt", b"PK\x03\x04"),
        ("a.txt", b"\x89PNG\r\n"),
        ("a.pdf", b"hello"),
        ("a.docx", b"hello"),
        ("a.xlsx", b"PK\x03\x04"),
        ("a.exe", b"MZ\x90\x00"),
    ],
)
def test_what_cannot_be_taken_is_refused(name, head):
    with pytest.raises(WrongKind):
        kind_of_content(head, name=name)


def test_an_unknown_ending_is_refused_by_name():
    with pytest.raises(WrongKind, match="Accepted are"):
        kind_of_name("film.mp4")
