// A relying party made of openid-client, a library with OpenID certification, and a browser that only knows cookies,
// redirects and one form. Reads what it needs from the environment, prints one JSON object of what it saw.
// With a private key it is a client of the profile FAPI 2.0: it pushes its requests and binds its tokens to a key.
import { decodeProtectedHeader, importJWK } from 'jose'
import * as oidc from 'openid-client'

const { ISSUER, CLIENT_ID, CLIENT_SECRET, PRIVATE_JWK, REDIRECT_URI, POST_LOGOUT_URI, LOGIN, PASSWORD } = process.env
const fapi = PRIVATE_JWK && JSON.parse(PRIVATE_JWK)

class Browser {
  #cookies = new Map()

  async go(url, form, from) {
    const sender = from && { referer: from, origin: new URL(from).origin }
    const response = await fetch(url, {
      method: form ? 'POST' : 'GET',
      body: form && new URLSearchParams(form),
      headers: { cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; '), ...sender },
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

async function refusal(attempt) {
  try {
    await attempt()
  } catch (error) {
    return error.error ?? error.cause?.[0]?.parameters?.error ?? String(error)
  }
  return null
}

const proof = fapi
  ? oidc.PrivateKeyJwt({ key: await importJWK(fapi, fapi.alg), kid: fapi.kid })
  : oidc.ClientSecretBasic(CLIENT_SECRET)
const expected = fapi ? { id_token_signed_response_alg: 'ES256' } : {}
const config = await oidc.discovery(new URL(ISSUER), CLIENT_ID, expected, proof)
const bound = async () => ({ DPoP: oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair(fapi.alg)) })
const how = fapi ? await bound() : undefined

const signed = { assertions: new Set(), proofs: new Set() }
config[oidc.customFetch] = (url, options) => {
  const assertion = new URLSearchParams(options.body ?? '').get('client_assertion')
  const proof = new Headers(options.headers).get('dpop')
  if (assertion) signed.assertions.add(decodeProtectedHeader(assertion).alg)
  if (proof) signed.proofs.add(decodeProtectedHeader(proof).alg)
  return fetch(url, options)
}

async function authorize(browser, more, signIn) {
  const verifier = oidc.randomPKCECodeVerifier()
  const [state, nonce] = [oidc.randomState(), oidc.randomNonce()]
  const wanted = {
    redirect_uri: REDIRECT_URI,
    scope: 'openid profile email ent charter offline_access',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    login_hint: 'profil:parent',
    ...more,
  }
  const asked = fapi
    ? await oidc.buildAuthorizationUrlWithPAR(config, wanted, how)
    : oidc.buildAuthorizationUrl(config, wanted)
  let page = await browser.go(asked.href)
  if (signIn) {
    const [, token] = page.text.match(/name="csrf_token" value="([^"]+)"/) ?? []
    if (!token) throw new Error(`no form at ${page.url} (${page.status}): ${page.text}`)
    const form = { csrf_token: token, identifiant: LOGIN, 'mot-de-passe': PASSWORD }
    page = await browser.go(page.url, form, page.url)
  }
  if (!page.url.startsWith(`${REDIRECT_URI}?`)) {
    throw new Error(`not back at the client but at ${page.url} (${page.status}): ${page.text}`)
  }
  const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce }
  return { asked: Object.keys(parameters(asked)), url: new URL(page.url), checks }
}

const exchange = ({ url, checks }) =>
  oidc.authorizationCodeGrant(config, url, { ...checks, idTokenExpected: true }, undefined, how)

const browser = new Browser()
const first = await authorize(browser, {}, true)
const tokens = await exchange(first)
const claims = tokens.claims()
const userinfo = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub, how)
const renewed = await oidc.refreshTokenGrant(config, tokens.refresh_token, undefined, how)
const again = await oidc.fetchUserInfo(config, renewed.access_token, claims.sub, how)

const stolen = fapi && {
  bearer: await refusal(() => oidc.fetchUserInfo(config, renewed.access_token, claims.sub)),
  other_key: await refusal(async () => oidc.fetchUserInfo(config, renewed.access_token, claims.sub, await bound())),
}

const second = await authorize(browser, { prompt: 'none' }, false)
const silent = await exchange(second)
const replay = await refusal(() => exchange(second))

const stranger = await authorize(new Browser(), { prompt: 'none' }, false)
const refused = await refusal(() => exchange(stranger))

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
    asked: first.asked,
    answer: parameters(first.url),
    token_type: tokens.token_type,
    claims,
    userinfo,
    scope: tokens.scope,
    renewed: {
      access_token: renewed.access_token !== tokens.access_token,
      refresh_token: (renewed.refresh_token ?? tokens.refresh_token) !== tokens.refresh_token,
      same_person: again.sub === claims.sub,
    },
    stolen,
    signed: { assertions: [...signed.assertions], proofs: [...signed.proofs] },
    same_person: silent.claims().sub === claims.sub,
    same_sign_in: silent.claims().auth_time === claims.auth_time,
    replay,
    refused,
    end_session: away.origin + away.pathname,
    left: left.url,
    after: parameters(after.url).error,
  }),
)
