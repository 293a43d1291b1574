// Start the ENT: read the settings and the discovery document, and listen on loopback behind a proxy with TLS.
// Registration and tested versions: clients/README.md, « Express: openid-client ».
import * as oidc from 'openid-client'
import { createApp } from './app.mjs'

const required = ['ISSUER', 'CLIENT_ID', 'CLIENT_SECRET', 'PUBLIC_URL', 'SESSION_SECRET']
const missing = required.filter((name) => !process.env[name])
if (missing.length) {
  console.error(`missing in the environment: ${missing.join(', ')}`)
  process.exit(2)
}
const { ISSUER, CLIENT_ID, CLIENT_SECRET, PUBLIC_URL, SESSION_SECRET, PORT = '3000' } = process.env

const provider = await oidc.discovery(new URL(ISSUER), CLIENT_ID, undefined, oidc.ClientSecretBasic(CLIENT_SECRET))
const app = createApp({ provider, clientId: CLIENT_ID, publicUrl: new URL(PUBLIC_URL), sessionSecret: SESSION_SECRET })
const server = app.listen(Number(PORT), '127.0.0.1')
process.on('SIGTERM', () => server.close(() => process.exit(0)))
