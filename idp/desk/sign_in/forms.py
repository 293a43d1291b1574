"""The forms of the desk's sign-in."""

from flask_babel import lazy_gettext as _l

from idp.desk.kept_forms.forms import DeskForm
from idp.passkeys.forms import AnswerField
from idp.web.forms import Form, PlainField, SecretField


class CodeForm(Form):
    """The fallback: mail address, password and code together."""

    email = PlainField(_l("Adresse mail"))
    password = SecretField(_l("Mot de passe"))
    code = PlainField(_l("Code"), longest=40)


class ProofForm(Form):
    """The fallback of a person who is signed in: password and code."""

    password = SecretField(_l("Mot de passe"))
    code = PlainField(_l("Code"), longest=40)


class EnrolForm(DeskForm):
    """The enrolment of a password with a code, and the name of a passkey."""

    passkey = AnswerField()
    passkey_name = PlainField(_l("Nom de la clé"), longest=60)
    password = SecretField(_l("Mot de passe"))
    ceremony = PlainField(longest=40)
    code = PlainField(_l("Code"), longest=12)
