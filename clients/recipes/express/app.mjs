// The ENT: sign-in (code flow, PKCE), the charter, renewed tokens, sign-out and back-channel logout.
import express from 'express'
import session from 'express-session'
import * as oidc from 'openid-client'
import { logoutTokens } from './logout-token.mjs'
import * as pages from './pages.mjs'
import { Sessions } from './sessions.mjs'

const SCOPE = 'openid profile email ent charter offline_access'
const HOUR = 3600 * 1000 // life of a sign-in in progress: at a first sign-in the parent confirms an email
const ATTEMPTS = 7 // sign-ins in progress per browser
const RENEWED_BEFORE = 60 * 1000

export function createApp({ provider, clientId, publicUrl, sessionSecret }) {
  const issuer = provider.serverMetadata().issuer
  const callback = new URL('/callback', publicUrl).href
  const sessions = new Sessions()
  const readLogoutToken = logoutTokens(provider.serverMetadata(), clientId)
  const form = express.urlencoded({ extended: false, limit: '16kb' })
  const app = express()
  app.disable('x-powered-by')
  app.set('trust proxy', 'loopback')

  // The provider calls this route from server to server: no cookie and no Origin, only the token authenticates it.
  app.post('/backchannel-logout', form, async (req, res) => {
    res.set('Cache-Control', 'no-store')
    try {
      sessions.end(await readLogoutToken(String(req.body?.logout_token)))
      console.info('the provider ended a session')
      res.sendStatus(200)
    } catch (error) {
      console.warn(`logout token refused: ${error.message}`)
      res.status(400).json({ error: 'invalid_request' })
    }
  })

  app.use((req, res, next) => {
    res.set({
      'Cache-Control': 'no-store',
      'Content-Security-Policy': "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
      'Referrer-Policy': 'same-origin',
      'X-Content-Type-Options': 'nosniff',
    })
    const foreign = req.method === 'POST' && req.get('origin') !== publicUrl.origin
    foreign ? res.status(403).send(pages.problem()) : next()
  })
  app.use(
    session({
      name: '__Host-ent',
      secret: sessionSecret,
      store: sessions,
      resave: false,
      saveUninitialized: false,
      cookie: { secure: true, httpOnly: true, sameSite: 'lax', maxAge: 8 * HOUR },
    }),
  )

  app.get('/', (req, res) => res.send(pages.home()))

  // Also the initiate_login_uri (Core 4). Its parameters are not needed here.
  app.get('/login', (req, res) => startSignIn(req, res, '/espace'))

  async function startSignIn(req, res, target) {
    const [state, nonce, verifier] = [oidc.randomState(), oidc.randomNonce(), oidc.randomPKCECodeVerifier()]
    const pending = Object.entries(req.session.attempts ?? {}).filter(([, attempt]) => attempt.until > Date.now())
    const attempt = { nonce, verifier, target, until: Date.now() + HOUR }
    req.session.attempts = Object.fromEntries([...pending, [state, attempt]].slice(-ATTEMPTS))
    const url = oidc.buildAuthorizationUrl(provider, {
      redirect_uri: callback,
      scope: SCOPE,
      state,
      nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      login_hint: 'profil:parent',
    })
    res.redirect(303, url.href)
  }

  app.get('/callback', async (req, res) => {
    const state = String(req.query.state)
    const attempt = Object.hasOwn(req.session.attempts ?? {}, state) ? req.session.attempts[state] : undefined
    if (!attempt) return res.status(400).send(pages.problem())
    delete req.session.attempts[state] // a response is accepted once
    let tokens, userinfo
    try {
      tokens = await oidc.authorizationCodeGrant(provider, new URL(req.originalUrl, publicUrl), {
        pkceCodeVerifier: attempt.verifier,
        expectedState: state,
        expectedNonce: attempt.nonce,
        idTokenExpected: true,
      })
      userinfo = await oidc.fetchUserInfo(provider, tokens.access_token, tokens.claims().sub)
    } catch (error) {
      console.warn(`sign-in refused: ${error.code} ${error.error ?? ''}`)
      return res.status(400).send(pages.problem(error.error))
    }
    await regenerateSession(req)
    req.session.person = userinfo
    storeTokens(req, tokens)
    res.redirect(303, attempt.target)
  })

  function storeTokens(req, tokens) {
    req.session.claims = tokens.claims() ?? req.session.claims
    req.session.tokens = {
      access: tokens.access_token,
      refresh: tokens.refresh_token ?? req.session.tokens?.refresh,
      id: tokens.id_token ?? req.session.tokens?.id,
      until: Date.now() + tokens.expiresIn() * 1000,
    }
  }

  // Give the browser a new, empty session with a new cookie value.
  async function regenerateSession(req) {
    const { attempts } = req.session
    await new Promise((done, failed) => req.session.regenerate((error) => (error ? failed(error) : done())))
    req.session.attempts = attempts
  }

  async function signInAgain(req, res) {
    await regenerateSession(req)
    await startSignIn(req, res, req.method === 'GET' ? req.originalUrl : '/espace')
  }

  // Require a signed-in parent and an access token that is valid for another minute.
  async function requireParent(req, res, next) {
    if (!req.session.person) return signInAgain(req, res)
    if (req.session.tokens.until - RENEWED_BEFORE < Date.now()) {
      try {
        storeTokens(req, await renewTokens(req.session.tokens.refresh))
        req.session.person = await oidc.fetchUserInfo(provider, req.session.tokens.access, req.session.claims.sub)
      } catch (error) {
        if (!isRevoked(error)) throw error
        return signInAgain(req, res) // the session ended at the provider
      }
    }
    next()
  }

  // Return whether the provider revoked the tokens. Any other error is temporary and does not end the session.
  function isRevoked(error) {
    if (error instanceof oidc.ResponseBodyError) return error.error === 'invalid_grant'
    return error instanceof oidc.WWWAuthenticateChallengeError && error.status === 401
  }

  // Concurrent requests of one session share one renewal, because a refresh token is accepted once.
  const renewing = new Map()
  function renewTokens(token) {
    if (!renewing.has(token)) {
      renewing.set(token, oidc.refreshTokenGrant(provider, token))
      setTimeout(() => renewing.delete(token), 5000).unref()
    }
    return renewing.get(token)
  }

  function requireCharter(req, res, next) {
    req.session.person.charter_accepted ? next() : res.redirect(303, '/charte')
  }

  app.get('/espace', requireParent, requireCharter, (req, res) => res.send(pages.inside(req.session.person)))

  app.get('/charte', requireParent, async (req, res) => {
    const { access } = req.session.tokens
    const answer = await oidc.fetchProtectedResource(provider, access, new URL('/charter', issuer), 'GET')
    res.send(pages.charter(await answer.json()))
  })

  app.post('/charte', form, requireParent, async (req, res) => {
    const body = JSON.stringify({ version: String(req.body?.version) })
    const headers = new Headers({ 'Content-Type': 'application/json' })
    const url = new URL('/charter/acceptance', issuer)
    const { access } = req.session.tokens
    const answer = await oidc.fetchProtectedResource(provider, access, url, 'POST', body, headers)
    if (answer.status === 409) return res.redirect(303, '/charte') // show the version that is current now
    if (!answer.ok) throw new Error(`charter acceptance failed: HTTP ${answer.status}`)
    req.session.person.charter_accepted = true
    res.redirect(303, '/espace')
  })

  app.post('/deconnexion', (req, res, next) => {
    const hint = req.session.tokens?.id
    req.session.destroy((error) => {
      if (error) return next(error)
      if (!hint) return res.redirect(303, '/')
      const back = new URL('/', publicUrl).href
      res.redirect(303, oidc.buildEndSessionUrl(provider, { id_token_hint: hint, post_logout_redirect_uri: back }).href)
    })
  })

  app.use((req, res) => res.status(404).send(pages.problem()))
  app.use((error, req, res, next) => {
    if (res.headersSent) return next(error)
    if (isRevoked(error)) return signInAgain(req, res)
    console.error(error)
    const isClientError = error.status >= 400 && error.status < 500 // for example a body that cannot be parsed
    res.status(isClientError ? error.status : 503).send(pages.problem('temporarily_unavailable'))
  })
  return app
}
