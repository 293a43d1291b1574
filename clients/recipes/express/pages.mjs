// The pages, in French. `text` escapes untrusted values; the provider sanitizes the charter's HTML.
const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const text = (value) => String(value ?? '').replace(/[&<>"']/g, (character) => ENTITIES[character])

const page = (title, body) => `<!doctype html>
<html lang="fr">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title></head>
<body><main><h1>${title}</h1>
${body}
</main></body>
</html>
`

export const home = () => page('Mon ENT', '<p><a href="/espace">Se connecter</a></p>')

const child = ({ given_name, class: name }) => `<li>${text(given_name)}, ${text(name)}</li>`

export const inside = (person) =>
  page(
    'Mon espace',
    `<p>Bonjour ${text(person.name)}.</p>
<ul>${(person.children ?? []).map(child).join('')}</ul>
<form method="post" action="/deconnexion"><button>Se déconnecter</button></form>`,
  )

export const charter = ({ version, html }) =>
  page(
    'Charte de l’ENT',
    `${html}
<form method="post" action="/charte">
<input type="hidden" name="version" value="${text(version)}"><button>J’ai lu et j’accepte</button>
</form>
<form method="post" action="/deconnexion"><button>Refuser et se déconnecter</button></form>`,
  )

const REASONS = {
  access_denied: 'La connexion a été annulée, ou vos enfants sont dans un autre ENT : leur établissement vous donne son adresse.',
  temporarily_unavailable: 'Le service de connexion est occupé. Réessayez dans une minute.',
}

export const problem = (code) =>
  page(
    'Connexion impossible',
    `<p>${REASONS[code] ?? 'La connexion n’a pas abouti.'}</p>
<p><a href="/">Revenir à l’accueil</a></p>`,
  )
