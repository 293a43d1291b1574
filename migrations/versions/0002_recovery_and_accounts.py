"""Recovery, the account's pages, back-channel logout; fewer look-ups at every sign-on."""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

_ADDED = {
    'mailbox': sa.String(length=254),
    'school_email': sa.String(length=254),
    'password_blocked_at': sa.DateTime(timezone=True),
    'recovery_frozen_until': sa.DateTime(timezone=True),
    'tries_forgotten_at': sa.DateTime(timezone=True),
    'last_sign_in_at': sa.DateTime(timezone=True),
    'inactive_warned_at': sa.DateTime(timezone=True),
    'merged_into_id': sa.Uuid(),
}
_INDEXED = ('mailbox', 'last_sign_in_at', 'merged_into_id')
_HOT = ('authorization_code', 'token')


def upgrade() -> None:
    with op.batch_alter_table('account') as account:
        for name, kind in _ADDED.items():
            account.add_column(sa.Column(name, kind, nullable=True))
        account.create_foreign_key(op.f('fk_account_merged_into_id'), 'account', ['merged_into_id'], ['id'])
        for name in _INDEXED:
            account.create_index(op.f(f'ix_account_{name}'), [name])
    _fill_mailboxes()
    op.execute(
        "UPDATE account SET last_sign_in_at = (SELECT max(a.at) FROM audit a "
        "WHERE a.account_id = account.id AND a.kind = 'sign_in' AND a.result = 'ok')"
    )
    with op.batch_alter_table('client') as client:
        client.add_column(
            sa.Column('backchannel_logout_uri', sa.String(length=500), nullable=False, server_default='')
        )
    with op.batch_alter_table('client') as client:
        client.alter_column('backchannel_logout_uri', existing_type=sa.String(length=500), server_default=None)
    with op.batch_alter_table('school_notice') as notice:
        notice.add_column(sa.Column('other_account_id', sa.Uuid(), nullable=True))
        for name in ('account_id', 'other_account_id'):
            notice.create_index(op.f(f'ix_school_notice_{name}'), [name])
    for table in _HOT:
        with op.batch_alter_table(table) as hot:
            for name in ('client_id', 'account_id'):
                hot.drop_constraint(op.f(f'fk_{table}_{name}'), type_='foreignkey')
    op.create_index(op.f('ix_authorization_code_session_id'), 'authorization_code', ['session_id'])


def downgrade() -> None:
    op.drop_index(op.f('ix_authorization_code_session_id'), 'authorization_code')
    for table in _HOT:
        with op.batch_alter_table(table) as hot:
            hot.create_foreign_key(op.f(f'fk_{table}_client_id'), 'client', ['client_id'], ['id'])
            hot.create_foreign_key(op.f(f'fk_{table}_account_id'), 'account', ['account_id'], ['id'])
    with op.batch_alter_table('school_notice') as notice:
        for name in ('account_id', 'other_account_id'):
            notice.drop_index(op.f(f'ix_school_notice_{name}'))
        notice.drop_column('other_account_id')
    with op.batch_alter_table('client') as client:
        client.drop_column('backchannel_logout_uri')
    with op.batch_alter_table('account') as account:
        for name in _INDEXED:
            account.drop_index(op.f(f'ix_account_{name}'))
        account.drop_constraint(op.f('fk_account_merged_into_id'), type_='foreignkey')
        for name in _ADDED:
            account.drop_column(name)


def _fill_mailboxes() -> None:
    """Fold the addresses that were confirmed before: as the service does it, which no SQL function does alike."""
    account = sa.table(
        'account', sa.column('id', sa.Uuid()), sa.column('email', sa.String()), sa.column('mailbox', sa.String())
    )
    connection = op.get_bind()
    while rows := connection.execute(
        sa.select(account.c.id, account.c.email)
        .where(account.c.email.is_not(None), account.c.mailbox.is_(None))
        .limit(1000)
    ).all():
        connection.execute(
            sa.update(account).where(account.c.id == sa.bindparam('key')).values(mailbox=sa.bindparam('folded')),
            [{'key': row.id, 'folded': row.email.casefold()} for row in rows],
        )
