// node-oidc-provider with a sign-in form: `node server.mjs SETTINGS.json`. The client, the people and the password hash
// come from the settings. All is kept in memory, or in Redis if the settings name it.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { parse } from 'node:querystring'

import argon2 from 'argon2'
import Provider from 'oidc-provider'

import { adapterFor } from './redis_adapter.mjs'

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const people = new Set(settings.people)
const scope = settings.scope

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { ...privateKey.export({ format: 'jwk' }), kid: 'bench', use: 'sig', alg: 'RS256' }
}

// The client is the operator's own: nobody is asked for consent.
async function loadExistingGrant(ctx) {
  const { client, session, provider, result } = ctx.oidc
  const known = result?.consent?.grantId || session.grantIdFor(client.clientId)
  const existing = known && (await provider.Grant.find(known))
  if (existing) return existing
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
  grant.addOIDCScope(scope)
  await grant.save()
  return grant
}

const provider = new Provider(settings.issuer, {
  adapter: settings.redis ? adapterFor(settings.redis) : undefined,
  claims: { openid: ['sub'], profile: ['name', 'given_name', 'family_name'], email: ['email', 'email_verified'] },
  clients: [
    {
      client_id: settings.client_id,
      client_secret: settings.client_secret,
      redirect_uris: [settings.redirect_uri],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
      id_token_signed_response_alg: 'RS256',
    },
  ],
  cookies: { keys: [randomBytes(32).toString('hex')] },
  expiresWithSession: () => false,
  features: { devInteractions: { enabled: false } },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      name: `Ann ${id}`,
      given_name: 'Ann',
      family_name: id,
      email: `${id}@example.org`,
      email_verified: true,
    }),
  }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  issueRefreshToken: () => true,
  jwks: { keys: [signingKey()] },
  loadExistingGrant,
  pkce: { required: () => true },
  responseTypes: ['code'],
  rotateRefreshToken: true,
  scopes: ['openid', 'offline_access', 'profile', 'email'],
  ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 86400, IdToken: 600, Interaction: 3600, RefreshToken: 86400, Session: 86400 },
})
provider.on('server_error', (ctx, error) => console.error(error))

function page(response, status, uid, message) {
  const body = `<!DOCTYPE html><html lang="en"><title>Sign in</title><h1>Sign in</h1>${message}
<form method="post" action="/interaction/${uid}"><input name="username" required>
<input type="password" name="password" required><button>Sign in</button></form></html>`
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  })
  response.end(body)
}

async function formOf(request) {
  const parts = []
  for await (const part of request) parts.push(part)
  return parse(Buffer.concat(parts).toString('utf8'))
}

async function interact(request, response) {
  const { uid } = await provider.interactionDetails(request, response)
  if (request.method !== 'POST') return page(response, 200, uid, '')
  const { username, password } = await formOf(request)
  if (!people.has(username) || !(await argon2.verify(settings.password_hash, password ?? ''))) {
    return page(response, 401, uid, '<p>Wrong username or password.</p>')
  }
  return provider.interactionFinished(request, response, { login: { accountId: username } })
}

const respond = provider.callback()
createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) return respond(request, response)
  return interact(request, response).catch((error) => {
    console.error(error)
    response.writeHead(400).end()
  })
}).listen(settings.port, '127.0.0.1')
