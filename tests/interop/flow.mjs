// A relying party made of openid-client, a library with OpenID certification, and a browser that only knows cookies,
// redirects and one form. Reads what it needs from the environment, prints one JSON object of what it saw.
import { webcrypto } from 'node:crypto'

globalThis.crypto ??= webcrypto // Node.js 18 has them under this name only
globalThis.CryptoKey ??= webcrypto.CryptoKey
const oidc = await import('openid-client')

const { ISSUER, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, POST_LOGOUT_URI, LOGIN, PASSWORD } = process.env

class Browser {
  #cookies = new Map()

  async go(url, form) {
    const response = await fetch(url, {
      method: form ? 'POST' : 'GET',
      body: form && new URLSearchParams(form),
      headers: { cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      redirect: 'manual',
    })
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/)
      this.#cookies.set(name, value)
    }
    const location = response.headers.get('location')
    const next = location && new URL(location, url).href
    if (next && next.startsWith(`${ISSUER}/`)) return this.go(next)
    return { url: next ?? url, status: response.status, text: await response.text() }
  }
}

function parameters(url) {
  return Object.fromEntries(new URL(url).searchParams)
}

const config = await oidc.discovery(
  new URL(ISSUER),
  CLIENT_ID,
  { client_secret: CLIENT_SECRET },
  oidc.ClientSecretBasic(CLIENT_SECRET),
  { execute: [oidc.allowInsecureRequests] }, // the service listens on loopback, without TLS
)

async function authorize(browser, more, signIn) {
  const verifier = oidc.randomPKCECodeVerifier()
  const [state, nonce] = [oidc.randomState(), oidc.randomNonce()]
  const asked = oidc.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT_URI,
    scope: 'openid profile email ent charter offline_access',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    login_hint: 'profil:parent',
    ...more,
  })
  let page = await browser.go(asked.href)
  if (signIn) {
    const [, token] = page.text.match(/name="csrf_token" value="([^"]+)"/) ?? []
    if (!token) throw new Error(`no form at ${page.url} (${page.status}): ${page.text}`)
    page = await browser.go(page.url, { csrf_token: token, identifiant: LOGIN, 'mot-de-passe': PASSWORD })
  }
  if (!page.url.startsWith(`${REDIRECT_URI}?`)) throw new Error(`not back at the client but at ${page.url} (${page.status}): ${page.text}`)
  return { url: new URL(page.url), checks: { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce } }
}

const browser = new Browser()
const first = await authorize(browser, {}, true)
const tokens = await oidc.authorizationCodeGrant(config, first.url, { ...first.checks, idTokenExpected: true })
const claims = tokens.claims()
const userinfo = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub)
const renewed = await oidc.refreshTokenGrant(config, tokens.refresh_token)

const second = await authorize(browser, { prompt: 'none' }, false)
const silent = await oidc.authorizationCodeGrant(config, second.url, second.checks)

let replay = null
try {
  await oidc.authorizationCodeGrant(config, second.url, second.checks)
} catch (error) {
  replay = error.error
}

const stranger = await authorize(new Browser(), { prompt: 'none' }, false)
let refused = null
try {
  await oidc.authorizationCodeGrant(config, stranger.url, stranger.checks)
} catch (error) {
  refused = error.error
}

const away = oidc.buildEndSessionUrl(config, {
  id_token_hint: silent.id_token,
  post_logout_redirect_uri: POST_LOGOUT_URI,
  state: 'au-revoir',
})
const left = await browser.go(away.href)
const after = await authorize(browser, { prompt: 'none' }, false)

console.log(
  JSON.stringify({
    metadata: config.serverMetadata(),
    answer: parameters(first.url),
    claims,
    userinfo,
    scope: tokens.scope,
    renewed: { access_token: renewed.access_token !== tokens.access_token, refresh_token: renewed.refresh_token !== tokens.refresh_token },
    same_person: silent.claims().sub === claims.sub,
    same_sign_in: silent.claims().auth_time === claims.auth_time,
    replay,
    refused,
    end_session: away.origin + away.pathname,
    left: left.url,
    after: parameters(after.url).error,
  }),
)
