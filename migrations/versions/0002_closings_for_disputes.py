"""Keep disputes and exclusions of ties as closings.

Nothing was released with the columns that go, so this revision both carries them over and drops them.
"""

import sqlalchemy as sa
from alembic import op
revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None
phase = 'contract'
unused_since = '0.0.0'

_ROWS = """
INSERT INTO closing (id, account_id, child_id, school_id, kind, begun_at, begun_by, reason, reference, sessions_ended,
    ended_by, end_reason)
SELECT gen_random_uuid(), g.account_id, g.child_id, c.school_id, '{kind}', {since}, 'migration', {reason}, '', 0, '', ''
FROM guardianship g JOIN child c ON c.id = g.child_id WHERE {state}
"""
_REASON = """
coalesce((SELECT left(a.details ->> 'reason', 500) FROM audit a WHERE a.account_id = g.account_id
    AND a.kind = 'dispute.settled' AND a.details ->> 'after' = 'excluded'
    AND CAST(a.details -> 'children' AS jsonb) ? coalesce(nullif(c.roster_key, ''), c.student_id)
    ORDER BY a.id DESC LIMIT 1), '')
"""
_OF_TIE = """
FROM closing c WHERE c.account_id = g.account_id AND c.child_id = g.child_id AND c.ended_at IS NULL AND c.kind = '{kind}'
"""


def upgrade() -> None:
    op.execute("UPDATE closing SET kind = 'returned' WHERE kind = 'excluded'")
    op.execute(_ROWS.format(kind='disputed', since='g.disputed_at', reason="''", state='g.disputed_at IS NOT NULL'))
    op.execute(_ROWS.format(kind='excluded', since='g.excluded_at', reason=_REASON, state='g.excluded_at IS NOT NULL'))
    # a file that names the person again asks the head
    again = 'g.was_excluded AND g.excluded_at IS NULL AND g.ended_at IS NOT NULL'
    op.execute(_ROWS.format(kind='returned', since='g.ended_at', reason=_REASON, state=again))
    with op.batch_alter_table('guardianship', schema=None) as batch_op:
        batch_op.drop_index('ix_guardianship_disputed', postgresql_where=sa.text('disputed_at IS NOT NULL AND ended_at IS NULL'))
        batch_op.drop_index('ix_guardianship_excluded', postgresql_where=sa.text('excluded_at IS NOT NULL'))
        batch_op.drop_column('was_excluded')
        batch_op.drop_column('excluded_at')
        batch_op.drop_column('disputed_at')


def downgrade() -> None:
    with op.batch_alter_table('guardianship', schema=None) as batch_op:
        batch_op.add_column(sa.Column('disputed_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column('excluded_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column('was_excluded', sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.alter_column('was_excluded', server_default=None)
        batch_op.create_index('ix_guardianship_disputed', ['account_id'], unique=False, postgresql_where=sa.text('disputed_at IS NOT NULL AND ended_at IS NULL'))
        batch_op.create_index('ix_guardianship_excluded', ['account_id'], unique=False, postgresql_where=sa.text('excluded_at IS NOT NULL'))
    for column, kind in (('disputed_at', 'disputed'), ('excluded_at', 'excluded')):
        op.execute(f"UPDATE guardianship g SET {column} = (SELECT min(c.begun_at) {_OF_TIE.format(kind=kind)})")
    returned = f"EXISTS (SELECT 1 {_OF_TIE.format(kind='returned')})"
    op.execute(f"UPDATE guardianship g SET was_excluded = true WHERE g.ended_at IS NOT NULL AND {returned}")
    op.execute("DELETE FROM closing WHERE kind IN ('disputed', 'excluded')")
    op.execute(
        "DELETE FROM closing c USING guardianship g WHERE c.kind = 'returned' AND c.ended_at IS NULL "
        "AND g.account_id = c.account_id AND g.child_id = c.child_id AND g.was_excluded"
    )
    op.execute("UPDATE closing SET kind = 'excluded' WHERE kind = 'returned'")
