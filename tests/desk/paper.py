"""Reads the files that jobs hand out."""

import io

import pypdf
from flask.testing import FlaskClient

from idp.db import db
from idp.desk.jobs.models import Job, JobFile
from tests.desk.colleagues import post
from tests.letters.read_back import secrets_in, text_of


def last_job() -> Job:
    db.session.expire_all()
    return db.session.query(Job).order_by(Job.created_at.desc()).limit(1).one()


def take(browser: FlaskClient, job: Job) -> list[str]:
    """Take the files of a job, and return the text of each page."""
    keys = [row.id for row in db.session.query(JobFile).filter_by(job_id=job.id, is_upload=False)]
    pdfs = [post(browser, f"/travaux/{job.id}/fichiers/{key}", f"/travaux/{job.id}").data for key in keys]
    return [text_of(page) for pdf in pdfs for page in pypdf.PdfReader(io.BytesIO(pdf)).pages]


def secret_on(page: str) -> str:
    [secret] = secrets_in(page)
    return secret
