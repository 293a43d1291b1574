"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None
phase = 'expand'  # or 'contract', with unused_since = 'the release that stopped using it' (../README.md)


def upgrade() -> None:
    op.create_table('audit',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('kind', sa.String(length=60), nullable=False),
    sa.Column('result', sa.String(length=10), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=True),
    sa.Column('client_id', sa.Uuid(), nullable=True),
    sa.Column('actor', sa.String(length=80), nullable=False),
    sa.Column('ip', sa.String(length=45), nullable=False),
    sa.Column('request_id', sa.String(length=32), nullable=False),
    sa.Column('details', sa.JSON(), nullable=False),
    sa.Column('salt', sa.LargeBinary(), nullable=True),
    sa.Column('personal_digest', sa.LargeBinary(), nullable=True),
    sa.Column('mac', sa.LargeBinary(), nullable=True),
    sa.Column('seal_id', sa.BigInteger(), nullable=True),
    sa.CheckConstraint('seal_id > 0', name=op.f('ck_audit_seal_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit'))
    )
    with op.batch_alter_table('audit', schema=None) as batch_op:
        batch_op.create_index('ix_audit_account_id_at', ['account_id', 'at'], unique=False)
        batch_op.create_index(batch_op.f('ix_audit_at'), ['at'], unique=False)
        batch_op.create_index('ix_audit_seal_id_id', ['seal_id', 'id'], unique=False)

    op.create_table('audit_beginning',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('entries_before', sa.DateTime(timezone=True), nullable=False),
    sa.Column('failures_before', sa.DateTime(timezone=True), nullable=False),
    sa.Column('first_seal', sa.BigInteger(), nullable=False),
    sa.Column('previous', sa.LargeBinary(), nullable=False),
    sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('actor', sa.String(length=80), nullable=False),
    sa.Column('mac', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_beginning'))
    )
    op.create_table('audit_seal',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=False, nullable=False),
    sa.Column('sealed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('newest_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('count', sa.Integer(), nullable=False),
    sa.Column('entries', sa.LargeBinary(), nullable=False),
    sa.Column('previous', sa.LargeBinary(), nullable=False),
    sa.Column('mac', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_seal'))
    )
    op.create_table('client_invite',
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('label', sa.String(length=80), nullable=False),
    sa.Column('uais', sa.JSON(), nullable=False),
    sa.Column('scopes', sa.JSON(), nullable=False),
    sa.Column('hosts', sa.JSON(), nullable=False),
    sa.Column('subject_type', sa.String(length=20), nullable=False),
    sa.Column('auth_method', sa.String(length=40), nullable=False),
    sa.Column('pkce_required', sa.Boolean(), nullable=True),
    sa.Column('uses_left', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_client_invite')),
    sa.UniqueConstraint('digest', name=op.f('uq_client_invite_digest'))
    )
    op.create_table('import_batch',
    sa.Column('format', sa.String(length=10), nullable=False),
    sa.Column('mode', sa.String(length=10), nullable=False),
    sa.Column('forced', sa.Boolean(), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('actor', sa.String(length=80), nullable=False),
    sa.Column('files', sa.JSON(), nullable=False),
    sa.Column('schools', sa.JSON(), nullable=False),
    sa.Column('counts', sa.JSON(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_import_batch'))
    )
    with op.batch_alter_table('import_batch', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_import_batch_started_at'), ['started_at'], unique=False)

    op.create_table('noted_settings',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('noted_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('settings', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_noted_settings'))
    )
    op.create_table('outbox',
    sa.Column('kind', sa.String(length=60), nullable=False),
    sa.Column('payload', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('available_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('lease', sa.Uuid(), nullable=True),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('outcome', sa.String(length=20), nullable=False),
    sa.Column('last_error', sa.String(length=500), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_outbox'))
    )
    with op.batch_alter_table('outbox', schema=None) as batch_op:
        batch_op.create_index('ix_outbox_waiting', ['finished_at', 'available_at'], unique=False)

    op.create_table('pushed_request',
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('client_id', sa.Uuid(), nullable=False),
    sa.Column('parameters', sa.JSON(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_pushed_request'))
    )
    with op.batch_alter_table('pushed_request', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_pushed_request_expires_at'), ['expires_at'], unique=False)

    op.create_table('retired_name',
    sa.Column('trace', sa.Integer(), autoincrement=False, nullable=False),
    sa.PrimaryKeyConstraint('trace', name=op.f('pk_retired_name'))
    )
    op.create_table('school',
    sa.Column('uai', sa.String(length=8), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('degree', sa.Enum('PRIMARY', 'SECONDARY', name='degree', native_enum=False, length=10), nullable=False),
    sa.Column('postal_address', sa.JSON(), nullable=False),
    sa.Column('phone', sa.String(length=30), nullable=False),
    sa.Column('email', sa.String(length=254), nullable=True),
    sa.Column('digest_sent_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('roster_key', sa.String(length=80), nullable=True),
    sa.Column('source', sa.String(length=10), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_school')),
    sa.UniqueConstraint('roster_key', name=op.f('uq_school_roster_key')),
    sa.UniqueConstraint('uai', name=op.f('uq_school_uai'))
    )
    op.create_table('sector',
    sa.Column('identifier', sa.String(length=500), nullable=False),
    sa.Column('salt', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('identifier', name=op.f('pk_sector'))
    )
    op.create_table('signing_key',
    sa.Column('kid', sa.String(length=43), nullable=False),
    sa.Column('alg', sa.String(length=10), nullable=False),
    sa.Column('public_jwk', sa.JSON(), nullable=False),
    sa.Column('private_sealed', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('active_from', sa.DateTime(timezone=True), nullable=False),
    sa.Column('retired_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_signing_key')),
    sa.UniqueConstraint('kid', name=op.f('uq_signing_key_kid'))
    )
    op.create_table('spent_proof',
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_spent_proof'))
    )
    with op.batch_alter_table('spent_proof', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_spent_proof_expires_at'), ['expires_at'], unique=False)

    op.create_table('throttle',
    sa.Column('limit', sa.String(length=40), nullable=False),
    sa.Column('key', sa.LargeBinary(), nullable=False),
    sa.Column('count', sa.Integer(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.Column('open_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('limit', 'key', name=op.f('pk_throttle'))
    )
    with op.batch_alter_table('throttle', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_throttle_expires_at'), ['expires_at'], unique=False)

    op.create_table('account',
    sa.Column('username', sa.String(length=64), nullable=False),
    sa.Column('profile', sa.Enum('STUDENT', 'GUARDIAN', 'TEACHER', 'STAFF', name='schoolprofile', native_enum=False, length=20), nullable=False),
    sa.Column('civility', sa.String(length=10), nullable=False),
    sa.Column('family_name', sa.String(length=200), nullable=False),
    sa.Column('given_name', sa.String(length=200), nullable=False),
    sa.Column('first_given_name', sa.String(length=200), nullable=True),
    sa.Column('birth_name', sa.String(length=200), nullable=False),
    sa.Column('roster_key', sa.String(length=80), nullable=True),
    sa.Column('join_key', sa.String(length=64), nullable=True),
    sa.Column('name_key', sa.String(length=32), nullable=True),
    sa.Column('address_lines', sa.JSON(), nullable=False),
    sa.Column('postcode', sa.String(length=20), nullable=False),
    sa.Column('city', sa.String(length=80), nullable=False),
    sa.Column('country', sa.String(length=80), nullable=False),
    sa.Column('address_diffusion', sa.Boolean(), nullable=True),
    sa.Column('locale', sa.String(length=20), nullable=False),
    sa.Column('more_claims', sa.JSON(), nullable=False),
    sa.Column('provisional_hash', sa.String(length=200), nullable=True),
    sa.Column('provisional_expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('password_hash', sa.String(length=200), nullable=True),
    sa.Column('password_changed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('activated_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('activated_in', sa.LargeBinary(), nullable=True),
    sa.Column('pending_email', sa.String(length=254), nullable=True),
    sa.Column('email', sa.String(length=254), nullable=True),
    sa.Column('email_confirmed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('mailbox', sa.String(length=254), nullable=True),
    sa.Column('school_email', sa.String(length=254), nullable=True),
    sa.Column('password_blocked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('contested_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('contested_email', sa.String(length=254), nullable=True),
    sa.Column('breached_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('letter_school_id', sa.Uuid(), nullable=True),
    sa.Column('tries_forgotten_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_sign_in_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('inactive_warned_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('merged_into_id', sa.Uuid(), nullable=True),
    sa.Column('left_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('disabled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['letter_school_id'], ['school.id'], name=op.f('fk_account_letter_school_id')),
    sa.ForeignKeyConstraint(['merged_into_id'], ['account.id'], name=op.f('fk_account_merged_into_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_account')),
    sa.UniqueConstraint('roster_key', name=op.f('uq_account_roster_key')),
    sa.UniqueConstraint('username', name=op.f('uq_account_username')),
    postgresql_with={'fillfactor': 85}
    )
    with op.batch_alter_table('account', schema=None) as batch_op:
        batch_op.create_index('ix_account_join_key', ['join_key'], unique=False)
        batch_op.create_index('ix_account_mailbox', ['mailbox'], unique=False)
        batch_op.create_index(batch_op.f('ix_account_merged_into_id'), ['merged_into_id'], unique=False)
        batch_op.create_index('ix_account_name_key', ['name_key'], unique=False)

    op.create_table('child',
    sa.Column('school_id', sa.Uuid(), nullable=False),
    sa.Column('roster_key', sa.String(length=80), nullable=True),
    sa.Column('student_id', sa.String(length=30), nullable=False),
    sa.Column('family_name', sa.String(length=200), nullable=False),
    sa.Column('given_name', sa.String(length=200), nullable=False),
    sa.Column('class_name', sa.String(length=60), nullable=False),
    sa.Column('left_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['school_id'], ['school.id'], name=op.f('fk_child_school_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_child')),
    sa.UniqueConstraint('roster_key', name=op.f('uq_child_roster_key'))
    )
    with op.batch_alter_table('child', schema=None) as batch_op:
        batch_op.create_index('ix_child_left_at', ['left_at'], unique=False, postgresql_where=sa.text('left_at IS NOT NULL'), sqlite_where=sa.text('left_at IS NOT NULL'))
        batch_op.create_index('ix_child_school_id', ['school_id', 'class_name'], unique=False)

    op.create_table('client',
    sa.Column('client_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('secret_digest', sa.LargeBinary(), nullable=True),
    sa.Column('former_secret_digest', sa.LargeBinary(), nullable=True),
    sa.Column('former_secret_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('auth_method', sa.String(length=40), nullable=False),
    sa.Column('auth_alg', sa.String(length=10), nullable=False),
    sa.Column('jwks', sa.JSON(), nullable=True),
    sa.Column('jwks_uri', sa.String(length=500), nullable=False),
    sa.Column('redirect_uris', sa.JSON(), nullable=False),
    sa.Column('post_logout_redirect_uris', sa.JSON(), nullable=False),
    sa.Column('home_uri', sa.String(length=500), nullable=False),
    sa.Column('initiate_login_uri', sa.String(length=500), nullable=False),
    sa.Column('backchannel_logout_uri', sa.String(length=500), nullable=False),
    sa.Column('frontchannel_logout_uri', sa.String(length=500), nullable=False),
    sa.Column('scopes', sa.JSON(), nullable=False),
    sa.Column('always_claims', sa.JSON(), nullable=False),
    sa.Column('subject_type', sa.Enum('PAIRWISE', 'PUBLIC', 'AAF', name='subjecttype', native_enum=False, length=20), nullable=False),
    sa.Column('subject_salt', sa.LargeBinary(), nullable=False),
    sa.Column('subject_prefix', sa.String(length=30), nullable=False),
    sa.Column('sector', sa.String(length=500), nullable=False),
    sa.Column('sector_identifier_uri', sa.String(length=500), nullable=False),
    sa.Column('pkce_required', sa.Boolean(), nullable=False),
    sa.Column('par_required', sa.Boolean(), nullable=False),
    sa.Column('dpop_required', sa.Boolean(), nullable=False),
    sa.Column('security_profile', sa.String(length=20), nullable=False),
    sa.Column('default_max_age', sa.Integer(), nullable=True),
    sa.Column('id_token_alg', sa.String(length=10), nullable=False),
    sa.Column('userinfo_alg', sa.String(length=10), nullable=False),
    sa.Column('refresh_id_token', sa.Boolean(), nullable=False),
    sa.Column('charter_mode', sa.Enum('ENT', 'PROVIDER', 'NONE', name='chartermode', native_enum=False, length=20), nullable=False),
    sa.Column('charter_version_id', sa.Uuid(), nullable=True),
    sa.Column('default_profile', sa.String(length=20), nullable=False),
    sa.Column('profile_uris', sa.JSON(), nullable=False),
    sa.Column('description', sa.JSON(), nullable=False),
    sa.Column('invite_id', sa.Uuid(), nullable=True),
    sa.Column('bounds', sa.JSON(), nullable=True),
    sa.Column('registration_digest', sa.LargeBinary(), nullable=True),
    sa.Column('former_registration_digest', sa.LargeBinary(), nullable=True),
    sa.Column('registration_used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('pending_metadata', sa.JSON(), nullable=True),
    sa.Column('audience', sa.Enum('FAMILIES', 'EVERYONE', name='audience', native_enum=False, length=20), nullable=False),
    sa.Column('release_username', sa.Boolean(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('disabled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['invite_id'], ['client_invite.id'], name=op.f('fk_client_invite_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_client')),
    sa.UniqueConstraint('client_id', name=op.f('uq_client_client_id'))
    )
    op.create_table('import_issue',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('batch_id', sa.Uuid(), nullable=False),
    sa.Column('severity', sa.String(length=10), nullable=False),
    sa.Column('file', sa.Text(), nullable=False),
    sa.Column('line', sa.Integer(), nullable=False),
    sa.Column('key', sa.String(length=80), nullable=False),
    sa.Column('code', sa.String(length=40), nullable=False),
    sa.Column('message', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['batch_id'], ['import_batch.id'], name=op.f('fk_import_issue_batch_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_import_issue'))
    )
    with op.batch_alter_table('import_issue', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_import_issue_batch_id'), ['batch_id'], unique=False)

    op.create_table('charter_version',
    sa.Column('client_id', sa.Uuid(), nullable=False),
    sa.Column('version', sa.String(length=40), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('published_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['client_id'], ['client.id'], name=op.f('fk_charter_version_client_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_charter_version')),
    sa.UniqueConstraint('client_id', 'version', name=op.f('uq_charter_version_client_id_version'))
    )
    op.create_table('client_school',
    sa.Column('client_id', sa.Uuid(), nullable=False),
    sa.Column('uai', sa.String(length=8), nullable=False),
    sa.ForeignKeyConstraint(['client_id'], ['client.id'], name=op.f('fk_client_school_client_id')),
    sa.PrimaryKeyConstraint('client_id', 'uai', name=op.f('pk_client_school'))
    )
    with op.batch_alter_table('client_school', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_client_school_uai'), ['uai'], unique=False)

    op.create_table('former_mailbox',
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('mailbox', sa.String(length=254), nullable=False),
    sa.Column('left_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_former_mailbox_account_id')),
    sa.PrimaryKeyConstraint('account_id', 'mailbox', name=op.f('pk_former_mailbox'))
    )
    with op.batch_alter_table('former_mailbox', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_former_mailbox_mailbox'), ['mailbox'], unique=False)

    op.create_table('guardianship',
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('child_id', sa.Uuid(), nullable=False),
    sa.Column('rank', sa.Integer(), nullable=False),
    sa.Column('kinship', sa.String(length=10), nullable=False),
    sa.Column('authority', sa.SmallInteger(), nullable=False),
    sa.Column('disputed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('excluded_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_guardianship_account_id')),
    sa.ForeignKeyConstraint(['child_id'], ['child.id'], name=op.f('fk_guardianship_child_id')),
    sa.PrimaryKeyConstraint('account_id', 'child_id', name=op.f('pk_guardianship'))
    )
    with op.batch_alter_table('guardianship', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_guardianship_child_id'), ['child_id'], unique=False)
        batch_op.create_index('ix_guardianship_ended_at', ['ended_at'], unique=False, postgresql_where=sa.text('ended_at IS NOT NULL'), sqlite_where=sa.text('ended_at IS NOT NULL'))

    op.create_table('one_time_link',
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('purpose', sa.String(length=30), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('client_id', sa.Uuid(), nullable=True),
    sa.Column('email', sa.String(length=254), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_one_time_link_account_id')),
    sa.ForeignKeyConstraint(['client_id'], ['client.id'], name=op.f('fk_one_time_link_client_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_one_time_link')),
    sa.UniqueConstraint('digest', name=op.f('uq_one_time_link_digest'))
    )
    with op.batch_alter_table('one_time_link', schema=None) as batch_op:
        batch_op.create_index('ix_one_time_link_account_id_purpose', ['account_id', 'purpose'], unique=False)
        batch_op.create_index(batch_op.f('ix_one_time_link_expires_at'), ['expires_at'], unique=False)

    op.create_table('roster_alias',
    sa.Column('roster_key', sa.String(length=80), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_roster_alias_account_id')),
    sa.PrimaryKeyConstraint('roster_key', name=op.f('pk_roster_alias'))
    )
    with op.batch_alter_table('roster_alias', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_roster_alias_account_id'), ['account_id'], unique=False)

    op.create_table('school_notice',
    sa.Column('school_id', sa.Uuid(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('other_account_id', sa.Uuid(), nullable=True),
    sa.Column('kind', sa.String(length=40), nullable=False),
    sa.Column('child_ids', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('settled_by', sa.String(length=80), nullable=False),
    sa.Column('sentence', sa.String(length=500), nullable=False),
    sa.Column('digested_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_school_notice_account_id')),
    sa.ForeignKeyConstraint(['school_id'], ['school.id'], name=op.f('fk_school_notice_school_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_school_notice'))
    )
    with op.batch_alter_table('school_notice', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_school_notice_account_id'), ['account_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_school_notice_other_account_id'), ['other_account_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_school_notice_school_id'), ['school_id'], unique=False)

    op.create_table('session',
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('sid', sa.String(length=43), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('auth_time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('amr', sa.JSON(), nullable=False),
    sa.Column('acr', sa.String(length=20), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('last_seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ip', sa.String(length=45), nullable=False),
    sa.Column('user_agent', sa.String(length=300), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_session_account_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_session')),
    sa.UniqueConstraint('digest', name=op.f('uq_session_digest'))
    )
    with op.batch_alter_table('session', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_session_account_id'), ['account_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_session_expires_at'), ['expires_at'], unique=False)

    op.create_table('authorization_code',
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('family', sa.Uuid(), nullable=False),
    sa.Column('client_id', sa.Uuid(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('session_id', sa.Uuid(), nullable=False),
    sa.Column('redirect_uri', sa.String(length=500), nullable=False),
    sa.Column('scope', sa.String(length=300), nullable=False),
    sa.Column('nonce', sa.String(length=600), nullable=True),
    sa.Column('code_challenge', sa.String(length=43), nullable=True),
    sa.Column('claims', sa.Text(), nullable=True),
    sa.Column('jkt', sa.String(length=43), nullable=True),
    sa.Column('acr', sa.String(length=20), nullable=False),
    sa.Column('auth_time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['session_id'], ['session.id'], name=op.f('fk_authorization_code_session_id')),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_authorization_code'))
    )
    with op.batch_alter_table('authorization_code', schema=None) as batch_op:
        batch_op.create_index('ix_authorization_code_session_id', ['session_id'], unique=False)

    op.create_table('charter_acceptance',
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('charter_version_id', sa.Uuid(), nullable=False),
    sa.Column('accepted_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ip', sa.String(length=45), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_charter_acceptance_account_id')),
    sa.ForeignKeyConstraint(['charter_version_id'], ['charter_version.id'], name=op.f('fk_charter_acceptance_charter_version_id')),
    sa.PrimaryKeyConstraint('account_id', 'charter_version_id', name=op.f('pk_charter_acceptance'))
    )
    with op.batch_alter_table('charter_acceptance', schema=None) as batch_op:
        batch_op.create_index('ix_charter_acceptance_charter_version_id', ['charter_version_id'], unique=False)

    op.create_table('token',
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('kind', sa.String(length=1), nullable=False),
    sa.Column('family', sa.Uuid(), nullable=False),
    sa.Column('client_id', sa.Uuid(), nullable=False),
    sa.Column('account_id', sa.Uuid(), nullable=False),
    sa.Column('session_id', sa.Uuid(), nullable=False),
    sa.Column('scope', sa.String(length=300), nullable=False),
    sa.Column('claims', sa.Text(), nullable=True),
    sa.Column('jkt', sa.String(length=43), nullable=True),
    sa.Column('acr', sa.String(length=20), nullable=False),
    sa.Column('auth_time', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('family_expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['session_id'], ['session.id'], name=op.f('fk_token_session_id')),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_token'))
    )
    with op.batch_alter_table('token', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_token_family'), ['family'], unique=False)
        batch_op.create_index('ix_token_session_id', ['session_id'], unique=False)



def downgrade() -> None:
    with op.batch_alter_table('token', schema=None) as batch_op:
        batch_op.drop_index('ix_token_session_id')
        batch_op.drop_index(batch_op.f('ix_token_family'))

    op.drop_table('token')
    with op.batch_alter_table('charter_acceptance', schema=None) as batch_op:
        batch_op.drop_index('ix_charter_acceptance_charter_version_id')

    op.drop_table('charter_acceptance')
    with op.batch_alter_table('authorization_code', schema=None) as batch_op:
        batch_op.drop_index('ix_authorization_code_session_id')

    op.drop_table('authorization_code')
    with op.batch_alter_table('session', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_session_expires_at'))
        batch_op.drop_index(batch_op.f('ix_session_account_id'))

    op.drop_table('session')
    with op.batch_alter_table('school_notice', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_school_notice_school_id'))
        batch_op.drop_index(batch_op.f('ix_school_notice_other_account_id'))
        batch_op.drop_index(batch_op.f('ix_school_notice_account_id'))

    op.drop_table('school_notice')
    with op.batch_alter_table('roster_alias', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_roster_alias_account_id'))

    op.drop_table('roster_alias')
    with op.batch_alter_table('one_time_link', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_one_time_link_expires_at'))
        batch_op.drop_index('ix_one_time_link_account_id_purpose')

    op.drop_table('one_time_link')
    with op.batch_alter_table('guardianship', schema=None) as batch_op:
        batch_op.drop_index('ix_guardianship_ended_at', postgresql_where=sa.text('ended_at IS NOT NULL'), sqlite_where=sa.text('ended_at IS NOT NULL'))
        batch_op.drop_index(batch_op.f('ix_guardianship_child_id'))

    op.drop_table('guardianship')
    with op.batch_alter_table('former_mailbox', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_former_mailbox_mailbox'))

    op.drop_table('former_mailbox')
    with op.batch_alter_table('client_school', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_client_school_uai'))

    op.drop_table('client_school')
    op.drop_table('charter_version')
    with op.batch_alter_table('import_issue', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_import_issue_batch_id'))

    op.drop_table('import_issue')
    op.drop_table('client')
    with op.batch_alter_table('child', schema=None) as batch_op:
        batch_op.drop_index('ix_child_school_id')
        batch_op.drop_index('ix_child_left_at', postgresql_where=sa.text('left_at IS NOT NULL'), sqlite_where=sa.text('left_at IS NOT NULL'))

    op.drop_table('child')
    with op.batch_alter_table('account', schema=None) as batch_op:
        batch_op.drop_index('ix_account_name_key')
        batch_op.drop_index(batch_op.f('ix_account_merged_into_id'))
        batch_op.drop_index('ix_account_mailbox')
        batch_op.drop_index('ix_account_join_key')

    op.drop_table('account')
    with op.batch_alter_table('throttle', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_throttle_expires_at'))

    op.drop_table('throttle')
    with op.batch_alter_table('spent_proof', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_spent_proof_expires_at'))

    op.drop_table('spent_proof')
    op.drop_table('signing_key')
    op.drop_table('sector')
    op.drop_table('school')
    op.drop_table('retired_name')
    with op.batch_alter_table('pushed_request', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_pushed_request_expires_at'))

    op.drop_table('pushed_request')
    with op.batch_alter_table('outbox', schema=None) as batch_op:
        batch_op.drop_index('ix_outbox_waiting')

    op.drop_table('outbox')
    op.drop_table('noted_settings')
    with op.batch_alter_table('import_batch', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_import_batch_started_at'))

    op.drop_table('import_batch')
    op.drop_table('client_invite')
    op.drop_table('audit_seal')
    op.drop_table('audit_beginning')
    with op.batch_alter_table('audit', schema=None) as batch_op:
        batch_op.drop_index('ix_audit_seal_id_id')
        batch_op.drop_index(batch_op.f('ix_audit_at'))
        batch_op.drop_index('ix_audit_account_id_at')

    op.drop_table('audit')
