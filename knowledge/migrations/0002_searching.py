"""The two columns of chunks that Postgres itself searches.

`embedding`: pgvector's type when the database has pgvector and lets us install it, else bytes.
`search`: stemmed as English, which leaves the words of other languages nearly as they are;
characters of scripts without spaces are words of their own, so that phrases of them are found.
"""

from django.db import DatabaseError, migrations, transaction

SPACED = r"regexp_replace({0}, '([\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])', ' \1 ', 'g')"
SEARCH = (
    "ALTER TABLE knowledge_chunk ADD COLUMN search tsvector GENERATED ALWAYS AS ("
    f"setweight(to_tsvector('english', {SPACED.format('heading')}), 'B') || "
    f"setweight(to_tsvector('english', {SPACED.format('text')}), 'D')) STORED"
)


def add_embedding(apps, schema_editor):
    connection = schema_editor.connection
    kind = "vector" if install_pgvector(connection) else "bytea"
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE knowledge_chunk ADD COLUMN embedding {kind}")
        # Similar in all its bytes and not compressible: spare Postgres the attempt.
        cursor.execute("ALTER TABLE knowledge_chunk ALTER COLUMN embedding SET STORAGE EXTERNAL")


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
        migrations.RunPython(add_embedding, lambda apps, schema_editor: schema_editor.execute("ALTER TABLE knowledge_chunk DROP COLUMN embedding")),
        migrations.RunSQL(SEARCH, "ALTER TABLE knowledge_chunk DROP COLUMN search"),
        migrations.RunSQL("CREATE INDEX knowledge_chunk_search ON knowledge_chunk USING gin (search)", migrations.RunSQL.noop),
    ]
