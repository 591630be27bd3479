"""What Postgres itself searches.

The embeddings: of pgvector's type when the database has pgvector and lets us install it, else bytes.
The column `search` of chunks: stemmed as English, which leaves the words of other languages nearly as they are;
characters of scripts without spaces are words of their own, so that phrases of them are found.
"""

from django.db import DatabaseError, migrations, transaction

SPACED = r"regexp_replace({0}, '([\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])', ' \1 ', 'g')"
SEARCH = (
    "ALTER TABLE knowledge_chunk ADD COLUMN search tsvector GENERATED ALWAYS AS ("
    f"setweight(to_tsvector('english', {SPACED.format('heading')}), 'B') || "
    f"setweight(to_tsvector('english', {SPACED.format('text')}), 'D')) STORED"
)


def add_embeddings(apps, schema_editor):
    connection = schema_editor.connection
    kind = "vector" if install_pgvector(connection) else "bytea"
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE knowledge_vector ADD COLUMN embedding {kind} NOT NULL")
        # Not compressible: spare Postgres the attempt.
        cursor.execute("ALTER TABLE knowledge_vector ALTER COLUMN embedding SET STORAGE EXTERNAL")
        cursor.execute(
            "ALTER TABLE knowledge_vector ADD CONSTRAINT knowledge_vector_chunk "
            "FOREIGN KEY (chunk_id) REFERENCES knowledge_chunk ON DELETE CASCADE"
        )


def drop_embeddings(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("ALTER TABLE knowledge_vector DROP COLUMN embedding, DROP CONSTRAINT knowledge_vector_chunk")


def install_pgvector(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
        if cursor.fetchone() is None:
            return False
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except DatabaseError:
        # Not allowed to us: pgvector is not a trusted extension everywhere.
        return False
    return True


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0001_initial")]

    operations = [
        migrations.RunPython(add_embeddings, drop_embeddings),
        migrations.RunSQL(SEARCH, "ALTER TABLE knowledge_chunk DROP COLUMN search"),
        migrations.RunSQL("CREATE INDEX knowledge_chunk_search ON knowledge_chunk USING gin (search)", migrations.RunSQL.noop),
    ]
