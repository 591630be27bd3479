import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Connection',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('task_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('name', models.CharField(max_length=200)),
                ('server_url', models.CharField(max_length=2000)),
                ('redirect_uri', models.CharField(max_length=2000)),
                ('issuer', models.CharField(blank=True, max_length=2000)),
                ('names_issuer', models.BooleanField(default=False)),
                ('authorization_endpoint', models.CharField(blank=True, max_length=2000)),
                ('token_endpoint', models.CharField(blank=True, max_length=2000)),
                ('client_id', models.CharField(blank=True, max_length=500)),
                ('client_auth', models.CharField(blank=True, max_length=40)),
                ('scopes', models.CharField(blank=True, max_length=2000)),
                ('status', models.CharField(choices=[('queued', 'Queued'), ('in_progress', 'In Progress'), ('awaiting_redirect', 'Awaiting Redirect'), ('completed', 'Completed'), ('failed', 'Failed')], default='queued', max_length=20)),
                ('step', models.CharField(choices=[('prepare', 'Prepare'), ('finish', 'Finish')], default='prepare', max_length=16)),
                ('error', models.TextField(blank=True)),
                ('tools', models.JSONField(blank=True, default=list)),
                ('state_digest', models.CharField(max_length=64, null=True, unique=True)),
                ('state_expires_at', models.DateTimeField(null=True)),
                ('sealed_client_secret', models.TextField(blank=True)),
                ('sealed_verifier', models.TextField(blank=True)),
                ('sealed_code', models.TextField(blank=True)),
                ('sealed_access_token', models.TextField(blank=True)),
                ('sealed_refresh_token', models.TextField(blank=True)),
                ('expires_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='connections', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [
                    models.Index(fields=['owner', '-created_at'], name='connection_of_owner'),
                    models.Index(fields=['status', 'updated_at'], name='connection_by_status'),
                ],
            },
        ),
    ]
