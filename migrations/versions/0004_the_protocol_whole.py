"""Client keys, profiles and sectors, invitations, pushed requests, proofs that count once, bound tokens."""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

_TEXT = {'server_default': ''}
_FALSE = {'server_default': sa.false()}
_OBJECT = {'server_default': '{}'}
# name, type, and for a column that is never empty the value that rows of before get
_CLIENT = (
    ('former_secret_digest', sa.LargeBinary(), None),
    ('former_secret_until', sa.DateTime(timezone=True), None),
    ('auth_alg', sa.String(length=10), _TEXT),
    ('jwks', sa.JSON(), None),
    ('jwks_uri', sa.String(length=500), _TEXT),
    ('frontchannel_logout_uri', sa.String(length=500), _TEXT),
    ('sector_identifier_uri', sa.String(length=500), _TEXT),
    ('par_required', sa.Boolean(), _FALSE),
    ('dpop_required', sa.Boolean(), _FALSE),
    ('security_profile', sa.String(length=20), _TEXT),
    ('default_max_age', sa.Integer(), None),
    ('userinfo_alg', sa.String(length=10), _TEXT),
    ('description', sa.JSON(), _OBJECT),
    ('registration_digest', sa.LargeBinary(), None),
)
_ISSUED = ('authorization_code', 'token')


def _add(table: str, columns) -> None:
    with op.batch_alter_table(table) as altered:
        for name, kind, default in columns:
            altered.add_column(sa.Column(name, kind, nullable=default is None, **(default or {})))
    with op.batch_alter_table(table) as altered:
        for name, kind, default in columns:
            if default:
                altered.alter_column(name, existing_type=kind, existing_nullable=False, server_default=None)


def upgrade() -> None:
    _add('client', _CLIENT)
    _add('account', [('more_claims', sa.JSON(), _OBJECT)])
    _add('session', [('acr', sa.String(length=20), {'server_default': 'pwd'})])
    # what was issued before lives minutes, and refresh tokens days: all of it stands for a password
    with op.batch_alter_table('authorization_code') as code:
        code.drop_column('acr')
    for table in _ISSUED:
        _add(table, [
            ('claims', sa.Text(), None),
            ('jkt', sa.String(length=43), None),
            ('acr', sa.String(length=20), {'server_default': 'pwd'}),
            ('auth_time', sa.DateTime(timezone=True), None),
        ])
        op.execute(
            f'UPDATE {table} SET auth_time = (SELECT s.auth_time FROM session s WHERE s.id = {table}.session_id)'
        )
        with op.batch_alter_table(table) as altered:
            altered.alter_column('auth_time', existing_type=sa.DateTime(timezone=True), nullable=False)
    op.create_table(
        'sector',
        sa.Column('identifier', sa.String(length=500), nullable=False),
        sa.Column('salt', sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint('identifier', name=op.f('pk_sector')),
    )
    op.create_table(
        'client_invite',
        sa.Column('digest', sa.LargeBinary(), nullable=False),
        sa.Column('label', sa.String(length=80), nullable=False),
        sa.Column('uais', sa.JSON(), nullable=False),
        sa.Column('scopes', sa.JSON(), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('client_id', sa.Uuid(), nullable=True),
        sa.Column('id', sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(['client_id'], ['client.id'], name=op.f('fk_client_invite_client_id')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_client_invite')),
        sa.UniqueConstraint('digest', name=op.f('uq_client_invite_digest')),
    )
    op.create_table(
        'pushed_request',
        sa.Column('digest', sa.LargeBinary(), nullable=False),
        sa.Column('client_id', sa.Uuid(), nullable=False),
        sa.Column('parameters', sa.JSON(), nullable=False),
        sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint('digest', name=op.f('pk_pushed_request')),
    )
    op.create_index(op.f('ix_pushed_request_expires_at'), 'pushed_request', ['expires_at'])
    op.create_table(
        'spent_proof',
        sa.Column('digest', sa.LargeBinary(), nullable=False),
        sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('digest', name=op.f('pk_spent_proof')),
    )
    op.create_index(op.f('ix_spent_proof_expires_at'), 'spent_proof', ['expires_at'])


def downgrade() -> None:
    op.drop_table('spent_proof')
    op.drop_table('pushed_request')
    op.drop_table('client_invite')
    op.drop_table('sector')
    # what is bound to a key must not become a bearer token for who knows no binding
    for table in _ISSUED:
        op.execute(f'DELETE FROM {table} WHERE jkt IS NOT NULL')
        with op.batch_alter_table(table) as altered:
            for name in ('auth_time', 'acr', 'jkt', 'claims'):
                altered.drop_column(name)
    with op.batch_alter_table('authorization_code') as code:
        code.add_column(sa.Column('acr', sa.String(length=100), nullable=True))
    with op.batch_alter_table('session') as session:
        session.drop_column('acr')
    with op.batch_alter_table('account') as account:
        account.drop_column('more_claims')
    # a client that proves itself by a key has no secret: shut out rather than open to whoever knows its name
    op.execute("UPDATE client SET disabled_at = CURRENT_TIMESTAMP WHERE auth_method = 'private_key_jwt' "
               "AND disabled_at IS NULL")
    with op.batch_alter_table('client') as client:
        for name, _, _ in _CLIENT:
            client.drop_column(name)
