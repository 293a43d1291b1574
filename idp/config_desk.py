"""The settings of the school desk."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from idp import config_rules as rules


class DeskSettings(BaseSettings):
    """What an operator sets for the desk; a part of `idp.config.Settings`."""

    desk_url: str = Field(
        "",
        description="public URL of the school desk: another host than that of this service. Empty: there is no desk",
    )
    desk_oidc_issuer: str = Field(
        "",
        max_length=500,
        description="issuer of the académie's OpenID provider, by which staff may sign in at the desk",
    )
    desk_oidc_client_id: str = Field("", max_length=200, description="the desk's client id at that provider")
    desk_oidc_client_secret: SecretStr = Field(SecretStr(""), description="the desk's client secret at that provider")
    desk_oidc_acr: str = Field(
        "", max_length=200, description="the `acr` of that provider that proves two factors; any other value is refused"
    )

    @field_validator("desk_url")
    @classmethod
    def _check_desk_url(cls, value: str) -> str:
        return rules.check_issuer(value) if value else value

    @field_validator("desk_oidc_issuer")
    @classmethod
    def _check_desk_oidc_issuer(cls, value: str) -> str:
        return rules.check_provider(value) if value else value

    def desk_contradictions(self, issuer: str) -> list[str]:
        """Return `field: message` for each value that is wrong together with other values."""
        faults = []
        if self.desk_url:
            faults += rules.desk_faults(self.desk_url, issuer)
        oidc = {
            "desk_oidc_client_id": self.desk_oidc_client_id,
            "desk_oidc_client_secret": self.desk_oidc_client_secret.get_secret_value(),
            "desk_oidc_acr": self.desk_oidc_acr,
        }
        if self.desk_oidc_issuer:
            faults += [f"{name}: must be set with IDP_DESK_OIDC_ISSUER" for name, value in oidc.items() if not value]
            if not self.desk_url:
                faults.append("desk_oidc_issuer: is of no use without IDP_DESK_URL")
        else:
            faults += [f"{name}: is of no use without IDP_DESK_OIDC_ISSUER" for name, value in oidc.items() if value]
        return faults
