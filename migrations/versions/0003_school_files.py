"""School files: keys that name people for ever, links that end, the journal of the imports."""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

_ACCOUNT = {
    'roster_key': sa.String(length=80),
    'name_key': sa.String(length=32),
    'address_diffusion': sa.Boolean(),
    'left_at': sa.DateTime(timezone=True),
}


def _ended(name: str, table: str, column: str) -> None:
    only = sa.text(f'{column} IS NOT NULL')
    op.create_index(name, table, [column], postgresql_where=only, sqlite_where=only)


def upgrade() -> None:
    with op.batch_alter_table('school') as school:
        school.add_column(sa.Column('roster_key', sa.String(length=80), nullable=True))
        school.add_column(sa.Column('source', sa.String(length=10), nullable=False, server_default=''))
        school.create_unique_constraint(op.f('uq_school_roster_key'), ['roster_key'])
    with op.batch_alter_table('school') as school:
        school.alter_column('source', existing_type=sa.String(length=10), server_default=None)
    with op.batch_alter_table('child') as child:
        child.add_column(sa.Column('roster_key', sa.String(length=80), nullable=True))
        child.add_column(sa.Column('left_at', sa.DateTime(timezone=True), nullable=True))
        child.drop_constraint(op.f('uq_child_school_id_student_id'), type_='unique')
        child.create_unique_constraint(op.f('uq_child_roster_key'), ['roster_key'])
        child.create_index('ix_child_school_id', ['school_id', 'class_name'])
    _ended('ix_child_left_at', 'child', 'left_at')
    with op.batch_alter_table('account') as account:
        for name, kind in _ACCOUNT.items():
            account.add_column(sa.Column(name, kind, nullable=True))
        account.create_unique_constraint(op.f('uq_account_roster_key'), ['roster_key'])
        account.create_index('ix_account_name_key', ['name_key'])
    # who stands there alone with a join key came from an AAF; a key of two accounts is left for the next file
    op.execute(
        "UPDATE account SET roster_key = 'aaf:' || join_key WHERE merged_into_id IS NULL AND join_key IN "
        "(SELECT join_key FROM account WHERE join_key IS NOT NULL GROUP BY join_key HAVING count(*) = 1)"
    )
    with op.batch_alter_table('guardianship') as guardianship:
        guardianship.add_column(sa.Column('authority', sa.SmallInteger(), nullable=False, server_default='1'))
        guardianship.add_column(sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table('guardianship') as guardianship:
        guardianship.alter_column('authority', existing_type=sa.SmallInteger(), server_default=None)
    _ended('ix_guardianship_ended_at', 'guardianship', 'ended_at')
    op.create_table(
        'roster_alias',
        sa.Column('roster_key', sa.String(length=80), nullable=False),
        sa.Column('account_id', sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(['account_id'], ['account.id'], name=op.f('fk_roster_alias_account_id')),
        sa.PrimaryKeyConstraint('roster_key', name=op.f('pk_roster_alias')),
    )
    op.create_index(op.f('ix_roster_alias_account_id'), 'roster_alias', ['account_id'])
    # one key to one account: where several merged accounts have it, any of the accounts that took them over will do
    op.execute(
        "INSERT INTO roster_alias (roster_key, account_id) SELECT 'aaf:' || a.join_key, a.merged_into_id FROM account a "
        "WHERE a.merged_into_id IS NOT NULL AND a.join_key IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM account kept WHERE kept.roster_key = 'aaf:' || a.join_key) "
        "AND NOT EXISTS (SELECT 1 FROM account more WHERE more.join_key = a.join_key "
        "AND more.merged_into_id IS NOT NULL AND more.id < a.id)"
    )
    op.create_table(
        'import_batch',
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
        sa.PrimaryKeyConstraint('id', name=op.f('pk_import_batch')),
    )
    op.create_index(op.f('ix_import_batch_started_at'), 'import_batch', ['started_at'])
    op.create_table(
        'import_issue',
        sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
        sa.Column('batch_id', sa.Uuid(), nullable=False),
        sa.Column('severity', sa.String(length=10), nullable=False),
        sa.Column('file', sa.Text(), nullable=False),
        sa.Column('line', sa.Integer(), nullable=False),
        sa.Column('key', sa.String(length=80), nullable=False),
        sa.Column('code', sa.String(length=40), nullable=False),
        sa.Column('message', sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(['batch_id'], ['import_batch.id'], name=op.f('fk_import_issue_batch_id')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_import_issue')),
    )
    op.create_index(op.f('ix_import_issue_batch_id'), 'import_issue', ['batch_id'])


def downgrade() -> None:
    op.drop_table('import_issue')
    op.drop_table('import_batch')
    op.drop_table('roster_alias')
    # what has ended must not hold again for who knows no end
    op.execute(
        "DELETE FROM guardianship WHERE ended_at IS NOT NULL "
        "OR child_id IN (SELECT id FROM child WHERE left_at IS NOT NULL)"
    )
    op.execute("DELETE FROM child WHERE left_at IS NOT NULL")
    op.drop_index('ix_guardianship_ended_at', 'guardianship')
    with op.batch_alter_table('guardianship') as guardianship:
        guardianship.drop_column('ended_at')
        guardianship.drop_column('authority')
    with op.batch_alter_table('account') as account:
        account.drop_index('ix_account_name_key')
        account.drop_constraint(op.f('uq_account_roster_key'), type_='unique')
        for name in _ACCOUNT:
            account.drop_column(name)
    op.drop_index('ix_child_left_at', 'child')
    with op.batch_alter_table('child') as child:
        child.drop_index('ix_child_school_id')
        child.drop_constraint(op.f('uq_child_roster_key'), type_='unique')
        child.create_unique_constraint(op.f('uq_child_school_id_student_id'), ['school_id', 'student_id'])
        child.drop_column('left_at')
        child.drop_column('roster_key')
    with op.batch_alter_table('school') as school:
        school.drop_constraint(op.f('uq_school_roster_key'), type_='unique')
        school.drop_column('source')
        school.drop_column('roster_key')
